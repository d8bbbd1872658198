"""Uploads and attachments, under way and in place, are readable by us alone."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from parcela.services.catalogue.image_files.image_store import ImageStore
from parcela.services.inventory.files import InventoryFiles

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


async def chunks() -> AsyncIterator[bytes]:
    yield b"secret"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_an_image(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    async with store.receive(chunks(), limit_bytes=100) as received:
        assert mode(received.path) == 0o600
        published = await store.publish(received, "raw")
    store.close()
    assert (mode(published), published.read_bytes()) == (0o400, b"secret")
    assert (mode(store.folder), mode(store.incoming)) == (0o700, 0o700)


async def test_an_attachment(tmp_path: Path) -> None:
    files = InventoryFiles(tmp_path)
    async with files.receive(chunks(), limit_bytes=100) as received:
        assert mode(received.path) == 0o600
        name = await files.publish(received)
    assert mode(files.path(name)) == 0o600
    assert (mode(files.folder), mode(files.incoming)) == (0o700, 0o700)
