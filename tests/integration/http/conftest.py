"""Fixtures: one application per module; every test makes the things it changes itself."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from parcela.db.migrate import upgrade
from tests.integration.http.lab import Lab, make_settings, open_lab


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package", autouse=True)
def quiet_log() -> Iterator[None]:
    """Warnings and crashes only, with plain tracebacks."""
    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "parcela.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
async def lab(schema: Path, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(make_settings(tmp_path_factory.mktemp("lab"), schema)) as made:
        yield made
