"""Tests of `registry.cleanup`."""
