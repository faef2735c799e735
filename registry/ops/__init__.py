"""What an operator sees: health and the access log."""
