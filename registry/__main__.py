"""`python -m registry` is `cargohold`."""

from registry.cli.main import run

if __name__ == "__main__":
    run()
