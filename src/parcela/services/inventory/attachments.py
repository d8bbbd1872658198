"""Photos of machines, and files that belong to machines and maintenance records."""

from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID

from parcela.core.errors import Problem, invalid, not_found
from parcela.core.permissions import Permission
from parcela.core.settings import Settings
from parcela.models import Attachment, Machine
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.inventory.files import PHOTO_TYPES, InventoryFiles, ReceivedFile
from parcela.services.inventory.rules import is_plain, note, refuse_archived
from parcela.services.quota_rules import ceiling, require_room

MAX_NAME_CHARS = 200
GIB = 1024**3


class AttachmentService:
    """Photos go with ``machine:*``, attachments with ``maintenance:*``. Files are received before the unit of work."""

    def __init__(self, settings: Settings, files: InventoryFiles) -> None:
        """Take the limit and the folder."""
        self._settings = settings
        self._files = files

    def receive(self, chunks: AsyncIterable[bytes]) -> AbstractAsyncContextManager[ReceivedFile]:
        """Take an upload; leaving the context removes it unless it was published."""
        return self._files.receive(chunks, limit_bytes=self._settings.max_attachment_bytes)

    # ---- photos

    async def set_photo(self, uow: UnitOfWork, caller: Caller, machine_id: int, received: ReceivedFile) -> Machine:
        """Give a machine its photo: PNG, JPEG, WebP or GIF, judged by content.

        Raises:
            ParcelaError: ``invalid`` ``photo_type``.
        """
        caller.require(Permission.MACHINE_WRITE)
        machine = await uow.machines.lock(machine_id)
        refuse_archived(machine)
        if received.media_type not in PHOTO_TYPES:
            text = "A photo is a PNG, JPEG, WebP or GIF file."
            raise invalid("photo_type", text, Problem("body", text, "photo_type"))
        self._drop_photo(uow, machine)
        machine.photo_file = await self._files.publish(received)
        machine.photo_type, machine.photo_sha256 = received.media_type, received.sha256
        machine.updated_at = uow.clock()
        await note(uow, caller, "machine.changed", machine, fields=["photo"])
        return machine

    async def remove_photo(self, uow: UnitOfWork, caller: Caller, machine_id: int) -> None:
        """Take a machine's photo away; fine when it has none."""
        caller.require(Permission.MACHINE_WRITE)
        machine = await uow.machines.lock(machine_id)
        refuse_archived(machine)
        if machine.photo_file is None:
            return
        self._drop_photo(uow, machine)
        machine.photo_file = machine.photo_type = machine.photo_sha256 = None
        machine.updated_at = uow.clock()
        await note(uow, caller, "machine.changed", machine, fields=["photo"])

    def _drop_photo(self, uow: UnitOfWork, machine: Machine) -> None:
        if machine.photo_file is not None:
            name = machine.photo_file
            uow.after_commit(lambda: self._files.remove(name))

    async def photo(self, uow: ReadUnitOfWork, caller: Caller, machine_id: int) -> tuple[Path, str]:
        """Where a machine's photo is, and its media type."""
        caller.require(Permission.MACHINE_READ)
        machine = await uow.machines.get(machine_id)
        if machine.photo_file is None or machine.photo_type is None:
            raise not_found("photo of machine", machine_id)
        return self._files.path(machine.photo_file), machine.photo_type

    # ---- attachments

    async def page(
        self, uow: ReadUnitOfWork, caller: Caller, machine_id: int, request: PageRequest, *, record_id: str | None
    ) -> Page:
        """Attachments of a machine, perhaps of one of its records."""
        caller.require(Permission.MAINTENANCE_READ)
        await uow.machines.get(machine_id)
        return await uow.attachments.page(request, machine_id=machine_id, record_id=record_id)

    async def add(
        self,
        uow: UnitOfWork,
        caller: Caller,
        machine_id: int,
        received: ReceivedFile,
        *,
        name: str,
        record_id: str | None = None,
    ) -> Attachment:
        """Attach a file to a machine, or to one of its maintenance records.

        Raises:
            ParcelaError: ``invalid`` ``bad_name`` or ``unknown_maintenance_record``.
        """
        caller.require(Permission.MAINTENANCE_WRITE)
        machine = await uow.machines.lock(machine_id)
        refuse_archived(machine)
        _check_name(name)
        await self._require_room(uow, caller, received.size_bytes)
        if record_id is not None:
            record_id = await _record_of(uow, machine, record_id)
        attachment = Attachment(
            machine_id=machine_id,
            record_id=record_id,
            name=name,
            media_type=received.media_type,
            size_bytes=received.size_bytes,
            sha256=received.sha256,
            file=await self._files.publish(received),
            created_by=caller.user_id or None,
            created_at=uow.clock(),
        )
        await uow.attachments.add(attachment)
        await note(
            uow, caller, "machine.attached", machine, record_id=record_id, attachment_id=attachment.id, name=name
        )
        return attachment

    async def _require_room(self, uow: UnitOfWork, caller: Caller, more: int) -> None:
        most = ceiling(caller, self._settings.quota_attachments_gib) * GIB
        used = await uow.attachments.bytes_of(caller.user_id) if most else 0
        require_room("attachments", "bytes of attachments", used=used, more=more, most=most)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, attachment_id: int) -> tuple[Attachment, Path]:
        """An attachment and where its file is."""
        caller.require(Permission.MAINTENANCE_READ)
        attachment = await uow.attachments.get(attachment_id)
        return attachment, self._files.path(attachment.file)

    async def delete(self, uow: UnitOfWork, caller: Caller, attachment_id: int) -> None:
        """Remove an attachment and its file."""
        caller.require(Permission.MAINTENANCE_WRITE)
        attachment = await uow.attachments.get(attachment_id)
        machine = await uow.machines.lock(attachment.machine_id)
        refuse_archived(machine)
        attachment = await uow.attachments.lock(attachment_id)
        name, file = attachment.name, attachment.file
        await uow.attachments.delete(attachment)
        uow.after_commit(lambda: self._files.remove(file))
        await note(uow, caller, "machine.detached", machine, record_id=attachment.record_id, name=name)


def _check_name(name: str) -> None:
    fine = 0 < len(name) <= MAX_NAME_CHARS and name.isprintable() and is_plain(name) and not set(name) & {"/", "\\"}
    if not fine:
        text = f"The name of a file has 1 to {MAX_NAME_CHARS} printable characters without slashes."
        raise invalid("bad_name", text, Problem("query.name", text, "bad_name"))


async def _record_of(uow: ReadUnitOfWork, machine: Machine, record_id: str) -> str:
    try:
        record = await uow.maintenance.get(str(UUID(record_id)))
    except ValueError:
        record = None
    if record is None or record.machine_id != machine.id:
        text = f"The machine {machine.code} has no maintenance record {record_id}."
        raise invalid("unknown_maintenance_record", text, Problem("query.record_id", text, "unknown_record"))
    return record.id
