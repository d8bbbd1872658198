"""From the bytes of an upload to a file that can be stored: unpacked, recognised, checked, and converted if needed.

All of it is part of the request of the upload: nothing is stored, and no work is left, when it fails or is cancelled.
"""

import asyncio
import signal
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.hypervisors.spec import ImageFormat
from parcela.services.catalogue.image_files.foreign_disks import examine_foreign
from parcela.services.catalogue.image_files.image_files import ImageFacts, examine, refusal
from parcela.services.catalogue.image_files.image_kinds import SourceKind, recognise
from parcela.services.catalogue.image_files.image_lengths import check_length
from parcela.services.catalogue.image_files.image_store import ImageStore, ReceivedFile, store_full, too_large
from parcela.services.catalogue.image_files.image_unpacking import Upload
from parcela.services.catalogue.image_files.qemu_img import Outcome, check, check_foreign, confirm, convert
from parcela.services.projects.image_quota import Reservation

WATCH_S: Final = 1.0
"""How often the space that a conversion takes is looked at."""


@dataclass(frozen=True, slots=True)
class Source:
    """What was uploaded.

    Attributes:
        sha256: digest of the file that was sent.
        format: its kind and how it was packed: ``qcow2``, ``vmdk``, ``raw.xz`` ...
    """

    sha256: str
    format: str


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A received file that is an image, as it will be stored."""

    received: ReceivedFile
    facts: ImageFacts
    source: Source
    upload_id: int = 0


class ImageIntake:
    """Takes uploads into the store of images."""

    def __init__(self, store: ImageStore, limit_bytes: int) -> None:
        """Take the store and how long a file may be, packed and unpacked, before and after a conversion."""
        self._store = store
        self._limit_bytes = limit_bytes

    @asynccontextmanager
    async def receive(
        self, chunks: AsyncIterable[bytes], reserved: Reservation, sha256: str | None
    ) -> AsyncIterator[CheckedFile]:
        """Take an upload; leaving the context removes all files of it that were not published.

        Args:
            chunks: the file as it is sent.
            reserved: what it has of the quota; more is reserved as more is needed.
            sha256: digest that the sent file must have; None: not said.

        Raises:
            ParcelaError: see ``ImageService.receive``.
        """
        upload = Upload(chunks, self._store, self._limit_bytes)
        stored = self._store.receive(reserved.watch(upload.unpacked()), limit_bytes=self._limit_bytes)
        async with stored as received:
            digest = upload.sha256 or received.sha256
            if sha256 is not None and sha256.lower() != digest:
                raise refusal("sha256_mismatch", f"The file that arrived has the SHA-256 {digest}.")
            kind = await self._store.run(lambda: recognise(received.path))
            source = Source(digest, f"{kind.value}.{upload.packing}" if upload.packing else kind.value)
            if not kind.is_converted:
                facts = await self._checked(received.path)
                yield CheckedFile(received, facts, source, reserved.upload_id)
                return
            async with self._converted(received, kind, reserved) as (made, facts):
                yield CheckedFile(made, facts, source, reserved.upload_id)

    async def _checked(self, path: Path) -> ImageFacts:
        facts = await self._store.run(lambda: examine(path))
        await self._store.run(lambda: check_length(path, facts))
        seen_bytes = await confirm(path, facts)
        if facts.format is ImageFormat.QCOW2 and seen_bytes != facts.virtual_size_bytes:
            raise refusal("image_unreadable", "qemu-img reads another disk size than the header says.")
        await check(path, facts)
        return facts

    @asynccontextmanager
    async def _converted(
        self, received: ReceivedFile, kind: SourceKind, reserved: Reservation
    ) -> AsyncIterator[tuple[ReceivedFile, ImageFacts]]:
        virtual = await self._store.run(lambda: examine_foreign(received.path, kind))
        await check_foreign(received.path, kind.value)
        async with self._store.place() as target:
            await self._convert(received.path, kind, target, reserved)
            facts = await self._checked(target)
            if facts.virtual_size_bytes != virtual:
                raise refusal("image_unreadable", "qemu-img reads another disk size than the header says.")
            yield await self._store.finished(target), facts

    async def _convert(self, path: Path, kind: SourceKind, target: Path, reserved: Reservation) -> None:
        """Write the qcow2 file; what it takes counts against the quota and the free space while it grows."""
        room = await self._store.room_bytes()
        most = min(self._limit_bytes, room)
        work = asyncio.create_task(convert(path, kind.value, target, most_bytes=most))
        try:
            while not (await asyncio.wait({work}, timeout=WATCH_S))[0]:
                await self._watch(target, reserved)
        finally:
            work.cancel()  # nothing happens when it has ended; else it ends qemu-img
            await asyncio.gather(work, return_exceptions=True)
        outcome = work.result()
        if outcome.status == -signal.SIGXFSZ or "File too large" in outcome.errors:
            raise store_full(outcome.errors[:500]) if room < self._limit_bytes else too_large(self._limit_bytes)
        _require_success(outcome)
        await self._watch(target, reserved)

    async def _watch(self, target: Path, reserved: Reservation) -> None:
        await self._store.check_room(0)
        await reserved.reach((await self._store.run(target.stat)).st_size)


def _require_success(outcome: Outcome) -> None:
    if outcome.status == -signal.SIGXCPU:
        text = "The conversion of the image takes too long here; convert it yourself: qemu-img convert -O qcow2 IN OUT."
        raise ParcelaError(ErrorKind.INVALID, "image_conversion_too_long", text)
    if outcome.status:
        error = refusal(
            "image_damaged", "The image cannot be converted; is it damaged? qemu-img could not read all of it."
        )
        error.internal = outcome.errors[:500]
        raise error
