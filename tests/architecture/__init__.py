"""The shape of the project itself: imports, sizes, docs, packages."""
