"""Typed settings and how they are read: YAML, then environment, then flags. Knows nothing of the rest of the server."""
