"""Looking around in places that hold images."""
