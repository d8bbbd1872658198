"""The way to a server: HTTP, credentials, names to ids, waiting for operations."""
