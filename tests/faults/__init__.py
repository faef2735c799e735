"""What is left when the server dies, or the disk says no, between any two steps."""
