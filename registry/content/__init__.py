"""The domain: digests, manifests, repositories, uploads. Knows no HTTP, no YAML and no concrete backend."""
