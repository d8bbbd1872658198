"""Messages of the WebSockets: what an event is to clients of ``vms``. Each is made once, however many clients wait."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from parcela.api.compat.vms.schemas import UserRead, VmRead
from parcela.api.websockets.frames import TextMessage
from parcela.core.lifecycle import DesiredState
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
    """``{"event": "vm_updated", "vm": {...}}`` with the whole row; None for events that are no news of a VM.

    A VM that somebody has removed is told as deleted while hosts still clear it away: lists leave it out already, and
    the pages would put it back into theirs. One whose row is kept no longer (months after its end) is no news either: a
    part of a row would break the pages.
    """
    if record.type not in VM_EVENTS or record.vm_id is None:
        return None
    async with services.uows.read() as uow:
        rows = (await uow.vms.page(PageRequest(limit=1), vm_id=record.vm_id, include_deleted=True)).rows
    if not rows:
        return None
    gone = rows[0]["desired"] == DesiredState.DELETED.value
    event = "vm_deleted" if gone else VM_EVENTS[record.type]
    return {"event": event, "vm": VmRead.of(rows[0]).model_dump(mode="json")}


async def user_message(services: Services, record: EventRecord) -> dict[str, Any] | None:
    """``{"event": "user_created", "user": {...}}``; None for events that are no news of a user."""
    if record.type not in USER_EVENTS:
        return None
    user_id = int(record.data["user_id"])
    async with services.uows.read() as uow:
        user = await uow.users.record(user_id)
    # Of somebody who is gone by now, the event knows the name alone.
    shown = UserRead.of(user) if user else UserRead(id=user_id, name=record.data["username"], email="", rol="")
    return {"event": USER_EVENTS[record.type], "user": shown.model_dump(mode="json")}


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
