"""Storage backends: keys and bytes on a directory or a bucket. Knows nothing of registries."""
