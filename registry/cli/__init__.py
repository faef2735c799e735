"""The command line `cargohold`. Turns arguments into calls and results into text; holds no rule of the registry."""
