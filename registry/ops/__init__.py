"""What an operator sees (health, access log, audit log, metrics), and what a server does by itself."""
