"""Storage in a bucket of a real S3 server, seen through a proxy that counts, and fails where a test wants it to."""
