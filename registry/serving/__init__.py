"""The server process: sockets, workers, HTTP/1.1. Moves bytes from and to sockets; must not know what they mean."""
