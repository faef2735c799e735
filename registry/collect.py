"""`python -m registry.collect`: where a server collects garbage, retains, scrubs and synchronises. Not for people."""

from registry.app_cleanup import run_child
from registry.app_sync import synchronise_as_set

if __name__ == "__main__":
    run_child({"sync": synchronise_as_set})
