"""One suite for every storage backend."""
