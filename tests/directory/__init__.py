"""Tests against a real LDAP directory."""
