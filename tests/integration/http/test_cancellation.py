"""Whoever goes away in the middle of a request leaves no lock behind: the next writer comes at once."""

import asyncio
import random

import pytest

from tests.integration.http.asgi import PATIENCE_S
from tests.integration.http.lab import Lab

pytestmark = pytest.mark.anyio
ROUNDS = 60


async def test_writers_go_on_after_one_was_cut_off(lab: Lab) -> None:
    moments = random.Random(1)  # noqa: S311 (spreads the cuts over the request, protects nothing)
    cut: list[object] = []  # their tracebacks hold cursors; that must not matter
    for _ in range(ROUNDS):
        request = asyncio.create_task(lab.flavour())
        await asyncio.wait({request}, timeout=moments.random() * 0.02)
        request.cancel()
        cut += await asyncio.gather(request, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_S):
            await lab.flavour()
    assert any(isinstance(end, asyncio.CancelledError) for end in cut)
