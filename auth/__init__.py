"""Who are you, and what may you do. Knows names, actions and tokens; knows nothing of blobs, manifests or settings."""
