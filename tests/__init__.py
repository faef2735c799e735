"""Tests of Cargohold; not shipped."""
