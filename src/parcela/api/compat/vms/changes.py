"""What a ``PUT`` of a VM changes: its clients send back all that they have read, with what is new."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from parcela.api.compat.vms.schemas import VmChange
from parcela.api.compat.vms.words import action_for
from parcela.core.lifecycle import Action, VmState
from parcela.repositories.uow import UnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.image_words import ImageWords
from parcela.services.checks import Check, unchecked
from parcela.services.compute import vms as rules
from parcela.services.container import Services

WAIT_S = 5.0
"""How long a change waits for what works on its VM."""
LOOK_EVERY_S = 0.2
MOST_WAITING = 4
"""Requests of one user that may wait at the same time; others are answered at once."""
_BY_STATUS: Mapping[Action, VmState] = {Action.START: VmState.RUNNING, Action.STOP: VmState.STOPPED}
"""Actions that come with a change of sizes, in the order that makes them possible."""


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between a VM and what was sent.

    Attributes:
        vm_id: which one.
        fields: what is new.
        sent: what must be as it is, and the status.
        action: None for none.
    """

    vm_id: int
    fields: rules.VmChange
    sent: rules.SentBack
    action: Action | None

    @classmethod
    def of(cls, row: Mapping[str, Any], body: VmChange, words: ImageWords | None = None) -> Self:
        """Compare a row of the list with a body; without ``words`` the image is left out."""
        label = None if body.name in {None, row["label"] or row["name"]} else body.name
        fields = rules.VmChange(
            label=label,
            cores=None if body.cores == row["cores"] else body.cores,
            ram=None if body.ram == row["memory_mib"] else body.ram,
            disk=None if body.disk == row["disk_gib"] else body.disk,
        )
        action = action_for(row, body.status)
        same_image = words is None or body.os is None or words.means(body.os, row["os"])
        sent = rules.SentBack(
            os=row["os"] if same_image else body.os,
            owner_id=body.owner_id,
            status=_BY_STATUS.get(action) if action else None,
        )
        return cls(row["id"], fields, sent, action)

    @property
    def needs_free(self) -> bool:
        """Whether nothing else may work on the VM meanwhile; a new name never minds."""
        fields = self.fields
        return self.action is not None or not (fields.cores is fields.ram is fields.disk is None)

    async def make(self, services: Services, uow: UnitOfWork, caller: Caller, check: Check = unchecked) -> None:
        """Change it; ``check`` sees the locked VM first.

        Raises:
            ParcelaError: as ``VmService.replace`` and ``act``.
        """
        await services.vms.replace(uow, caller, self.vm_id, self.fields, self.sent, check)
        if self.action is not None and self.action not in _BY_STATUS:
            await services.vms.act(uow, caller, self.vm_id, self.action)


class Patience:
    """Bounds how many requests of a user wait at the same time."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiting: Counter[int] = Counter()

    def waiting(self, user_id: int) -> int:
        """How many requests of a user wait now."""
        return self._waiting[user_id]

    async def until_free(self, services: Services, caller: Caller, vm_id: int, body: VmChange) -> None:
        """Return once nothing works on the VM that would keep the change away, and after ``WAIT_S`` in any case."""
        if self._waiting[caller.user_id] >= MOST_WAITING:
            return
        clock = asyncio.get_running_loop().time
        deadline = clock() + WAIT_S
        self._waiting[caller.user_id] += 1
        try:
            # In the end the change itself finds out, and says which operation it is.
            while clock() < deadline and await _is_kept_away(services, caller, vm_id, body):  # noqa: ASYNC110 (it may run elsewhere)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._waiting[caller.user_id] -= 1
            self._waiting += Counter()  # forgets those who are at zero


async def _is_kept_away(services: Services, caller: Caller, vm_id: int, body: VmChange) -> bool:
    async with services.uows.read() as uow:
        row = await services.vms.get(uow, caller, vm_id)
    return row["operation_id"] is not None and Change.of(row, body).needs_free
