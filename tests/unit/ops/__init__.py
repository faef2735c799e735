"""Health, logs."""
