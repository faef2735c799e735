"""Real clients against a live registry."""
