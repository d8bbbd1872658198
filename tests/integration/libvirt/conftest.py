"""Fixtures of the tests with a real libvirt."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.spec import ImageSpec
from tests.integration.libvirt.harness import clean_up, libvirt_uri, make_driver, make_folder, make_image, remove_folder

# Root has no session mode; test_session_as_user.py runs that file as somebody who has.
collect_ignore = ["test_session.py"] if os.geteuid() == 0 else []


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    remove_folder(path)


@pytest.fixture
def uri() -> str:
    return libvirt_uri()


@pytest.fixture
async def driver(folder: Path, uri: str) -> AsyncIterator[LibvirtDriver]:
    made = make_driver(folder, uri=uri)
    await made.open()
    try:
        yield made
    finally:
        await clean_up(made)
        await made.aclose()


@pytest.fixture
async def image(driver: LibvirtDriver) -> ImageSpec:
    spec = make_image()
    await driver.ensure_image(spec)
    return spec
