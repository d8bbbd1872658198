"""Every test of the driver contract runs on each kind of host."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.labs import Lab, libvirt_lab, simulated_lab

HOSTS = [
    pytest.param("simulated"),
    pytest.param("libvirt", marks=[pytest.mark.libvirt, pytest.mark.guest]),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=HOSTS)
async def lab(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    async with simulated_lab(tmp_path) if request.param == "simulated" else libvirt_lab() as made:
        yield made
