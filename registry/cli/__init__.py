"""The command line `cargohold`."""
