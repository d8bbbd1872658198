"""How much may happen on one host at once."""

import asyncio

import pytest

from parcela.workers.limits import CALLS_PER_HOST, HostLimits

pytestmark = pytest.mark.anyio


async def most_at_once(limits: HostLimits, kind: str, *, hosts: int, vcpus: int, tasks: int) -> int:
    """How many of many tasks hold a slot at the same time."""
    held = 0
    most = 0

    async def work(number: int) -> None:
        nonlocal held, most
        async with limits.slot(kind, number % hosts, vcpus):
            held += 1
            most = max(most, held)
            await asyncio.sleep(0)
            held -= 1

    await asyncio.gather(*(work(number) for number in range(tasks)))
    assert held == 0
    return most


@pytest.mark.parametrize(
    ("setting", "kind", "hosts", "most"),
    [
        (0, "boot_vm", 1, 5),  # processors plus one
        (2, "boot_vm", 1, 2),
        (2, "boot_vm", 3, 6),  # each host by itself
        (2, "reboot_vm", 1, 2),
        (2, "start_paused_vm", 1, CALLS_PER_HOST),  # no guest runs, so nobody starves
        (2, "create_vm", 1, CALLS_PER_HOST),
    ],
)
async def test_slots(setting: int, kind: str, hosts: int, most: int) -> None:
    assert await most_at_once(HostLimits(setting), kind, hosts=hosts, vcpus=4, tasks=40) == most
