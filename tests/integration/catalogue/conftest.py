"""Fixtures of the catalogue's tests."""

from tests.integration.catalogue.support import any_url, anyio_backend, lab, migrated, sqlite_url

__all__ = ["any_url", "anyio_backend", "lab", "migrated", "sqlite_url"]
