"""Cargohold: a self-hosted private registry server for OCI and Docker images."""

__version__ = "0.1.0"
