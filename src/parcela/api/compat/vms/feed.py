"""Messages of the WebSockets: what an event is to clients of ``vms``. Each is made once, however many clients wait."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from parcela.api.compat.vms.schemas import UserRead, VmRead
from parcela.api.frames import TextMessage
from parcela.core.lifecycle import VmState
from parcela.repositories.events import EventRecord
from parcela.repositories.paging import PageRequest
from parcela.services.container import Services

KEPT = 512
VM_EVENTS: Mapping[str, str] = {"vm.created": "vm_created", "vm.changed": "vm_updated", "vm.state": "vm_updated"}
USER_EVENTS: Mapping[str, str] = {
    "user.created": "user_created",
    "user.updated": "user_updated",
    "user.password_changed": "user_updated",
    "user.deleted": "user_deleted",
}
"""Events that are told, by our type."""
Make = Callable[[Services, EventRecord], Awaitable[dict[str, Any] | None]]


async def vm_message(services: Services, record: EventRecord) -> dict[str, Any] | None:
    """``{"event": "vm_updated", "vm": {...}}``; None for events that are no news of a VM."""
    if record.type not in VM_EVENTS or record.vm_id is None:
        return None
    gone = record.data.get("state") == VmState.DELETED.value
    async with services.uows.read() as uow:
        rows = (await uow.vms.page(PageRequest(limit=1), vm_id=record.vm_id, include_deleted=True)).rows
    vm = VmRead.model_validate(rows[0]).model_dump(mode="json") if rows else {"id": record.vm_id}
    return {"event": "vm_deleted" if gone else VM_EVENTS[record.type], "vm": vm}


async def user_message(services: Services, record: EventRecord) -> dict[str, Any] | None:
    """``{"event": "user_created", "user": {...}}``; None for events that are no news of a user."""
    if record.type not in USER_EVENTS:
        return None
    user_id = int(record.data["user_id"])
    async with services.uows.read() as uow:
        user = await uow.users.record(user_id)
    known = UserRead.of(user).model_dump(mode="json") if user else {"id": user_id, "name": record.data["username"]}
    return {"event": USER_EVENTS[record.type], "user": known}


class Feed:
    """Makes and keeps the last messages of one kind, so that a thousand clients cost one look at the database."""

    def __init__(self, make: Make, types: Iterable[str]) -> None:
        """Take what makes a message of an event, and the types of events that there are messages of."""
        self.types = frozenset(types)
        self._make = make
        self._made: OrderedDict[int, asyncio.Task[TextMessage | None]] = OrderedDict()

    async def message(self, services: Services, record: EventRecord) -> TextMessage | None:
        """The message of an event with its number as ``seq``; None when it is none."""
        task = self._made.get(record.id)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(self._message(services, record))
            self._made[record.id] = task
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        # Shielded: the first client that asks may hang up, and the others wait for the same answer.
        return await asyncio.shield(task)

    async def _message(self, services: Services, record: EventRecord) -> TextMessage | None:
        message = await self._make(services, record)
        return None if message is None else TextMessage.of(json.dumps(message | {"seq": record.id}))
