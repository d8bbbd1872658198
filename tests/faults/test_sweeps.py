"""Rounds of the reconcilers: what they tell of hosts."""

import pytest
from structlog.testing import capture_logs

from tests.support.lab import Lab

pytestmark = pytest.mark.anyio
CLOSED = "QEMU runs as the user nobody, who may not enter /root."


async def test_what_keeps_vms_from_starting_is_told_once_and_after_every_start(faulty: Lab) -> None:
    host = faulty.world.host("h1")

    async def told() -> list[str]:
        with capture_logs() as lines:
            await faulty.stack.round()
        return [line["event"] for line in lines if line["event"].startswith("host.obstacle")]

    async def health() -> tuple[str, str]:
        checks = {check.name: check for check in await faulty.stack.services.health.checks()}
        return checks["host h1"].status, checks["host h1"].detail

    assert (await health())[0] == "ok"
    host.obstacle = CLOSED
    assert await told() == ["host.obstacle"]
    assert await told() == []
    status, detail = await health()
    assert status == "down"
    assert "/root" not in detail  # everyone may ask for health
    with capture_logs() as lines:
        await faulty.restart()
        await faulty.stack.round()
    assert [line["reason"] for line in lines if line["event"] == "host.obstacle"] == [CLOSED]
    host.obstacle = ""
    assert await told() == ["host.obstacle_gone"]
    assert (await health())[0] == "ok"
