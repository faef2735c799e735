"""Cleaning up: what may go, and how it goes while everybody pushes. Knows content and the storage contract."""
