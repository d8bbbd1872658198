"""The same application as for the other HTTP tests."""

from tests.integration.http.conftest import anyio_backend, lab, quiet_log, schema

__all__ = ["anyio_backend", "lab", "quiet_log", "schema"]
