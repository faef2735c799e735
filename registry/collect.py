"""`python -m registry.collect`: the process in which a server collects garbage or scrubs. Not for people."""

from registry.app_cleanup import run_child

if __name__ == "__main__":
    run_child()
