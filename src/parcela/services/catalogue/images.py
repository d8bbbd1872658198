"""Images: what VMs boot. Files are in the store, named by content; several images may share one.

A public image is seen by everybody, a private one by its owner and by holders of ``catalogue:write``. Who may upload
(``image:create``) owns what they uploaded as long as it is private; only ``catalogue:write`` publishes. A private image
in a project is seen by everybody there, used by those who may launch there, and changed by its owner and the managers.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from parcela.core.errors import ParcelaError, Problem, conflict, forbidden, invalid, not_found
from parcela.core.permissions import Permission
from parcela.core.scopes import Scope
from parcela.core.settings import Settings
from parcela.core.topology.references import ReferenceKind
from parcela.hypervisors.spec import ImageFormat
from parcela.models import Image
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork, UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.catalogue.bundled_guest import BundledImage, read_manifest
from parcela.services.catalogue.image_files.image_files import ImageFacts, examine
from parcela.services.catalogue.image_files.image_intake import CheckedFile, ImageIntake
from parcela.services.catalogue.image_files.image_store import ImageStore, check_size
from parcela.services.catalogue.image_rights import sees_image, visible_to
from parcela.services.catalogue.rules import check_fields
from parcela.services.catalogue.template_users import note_removal, refuse_used, release_name
from parcela.services.changes import assign
from parcela.services.projects.image_quota import ImageQuota
from parcela.services.projects.launching import hold_for_upload

log = structlog.get_logger(__name__)

INVALID = "image_invalid"
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class NewImage:
    """What people say of an image.

    Attributes:
        name: unique; 1..100 letters, digits, ``. _ -`` and inner spaces.
        min_disk_gib: raised to the size of the disk in the image; 1..16384.
        visibility: ``public`` or ``private``.
        sha256: digest that the file must have as it is sent, before it is unpacked or converted; or None.
        project_id: project it is for, and counted by; None for its owner alone.
    """

    name: str
    description: str = ""
    os_type: str = "linux"
    os_version: str = ""
    visibility: str = "private"
    min_memory_mib: int = 64
    min_disk_gib: int = 1
    sha256: str | None = None
    project_id: int | None = None

    def fields(self) -> dict[str, Any]:
        """The columns of the row."""
        names = ("name", "description", "os_type", "os_version", "visibility", "min_memory_mib", "min_disk_gib")
        return {name: getattr(self, name) for name in names}


class ImageService:
    """Uploads run outside of any unit of work: on SQLite one that writes holds the only writer."""

    def __init__(self, uows: UnitOfWorkFactory, settings: Settings, store: ImageStore) -> None:
        """Take the store and where to look names up before an upload."""
        self._uows = uows
        self._settings = settings
        self._store = store
        self._quota = ImageQuota(uows, settings)
        self._intake = ImageIntake(store, settings.max_upload_bytes)
        self._sweeps: set[asyncio.Task[None]] = set()

    async def page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest, **filters: Any) -> Page:
        """Images the caller sees; filters: name, os_type, image_format, visibility, owner_id, project_id."""
        caller.require(Permission.CATALOGUE_READ)
        return await uow.images.page(request, visible_to=visible_to(caller), projects=caller.projects, **filters)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, image_id: int) -> Image:
        """One image; ``not_found`` to those who may not see it."""
        caller.require(Permission.CATALOGUE_READ)
        return _seen(caller, await uow.images.get(image_id))

    def receive(
        self, caller: Caller, new: NewImage, chunks: AsyncIterable[bytes], *, announced_bytes: int | None = None
    ) -> AbstractAsyncContextManager[CheckedFile]:
        """Take an upload; leaving the context removes the file unless ``register`` was called.

        Call it with no unit of work open. Rights, name and announced length are checked before the first byte.

        Raises:
            ParcelaError: ``too_large`` ``image_too_large``; ``conflict`` ``image_exists``; ``invalid`` with the codes
                of ``image_files.examine``, ``image_kinds.recognise`` and ``foreign_disks.examine_foreign``,
                ``image_cut_off``, ``image_damaged``, ``image_packing_refused``, ``image_unreadable`` and
                ``sha256_mismatch``; as ``hold_for_upload``.
        """
        return self._receive(caller, new, lambda: chunks, announced_bytes)

    def receive_path(self, caller: Caller, new: NewImage, path: str) -> AbstractAsyncContextManager[CheckedFile]:
        """Take a file of the server, for holders of ``catalogue:write``.

        Superusers may name any file; others only files below ``<data_dir>/import``.
        """
        caller.require(Permission.CATALOGUE_WRITE)
        limit = self._settings.max_upload_bytes
        return self._receive(
            caller,
            new,
            lambda: self._store.read_file(Path(path), anywhere=caller.is_superuser, limit_bytes=limit),
            None,
        )

    @asynccontextmanager
    async def _receive(
        self,
        caller: Caller,
        new: NewImage,
        open_chunks: Callable[[], AsyncIterable[bytes]],
        announced_bytes: int | None,
    ) -> AsyncIterator[CheckedFile]:
        self.check_create(caller, new)
        if announced_bytes is not None:
            check_size(announced_bytes, self._settings.max_upload_bytes)
            await self._store.check_room(announced_bytes)
        async with self._uows.read() as uow:
            if await uow.images.by_name(new.name) is not None:
                raise _name_taken()
        async with (
            self._quota.reserved(caller, new.project_id, announced_bytes) as reserved,
            self._intake.receive(open_chunks(), reserved, new.sha256) as file,
        ):
            yield file

    @staticmethod
    def check_create(caller: Caller, new: NewImage) -> None:
        """Raise when the caller may not make this image."""
        if not caller.can(Permission.CATALOGUE_WRITE):
            caller.require(Permission.IMAGE_CREATE)
        if new.visibility == "public" and not caller.can(Permission.CATALOGUE_WRITE):
            raise _may_not_publish()
        check_fields(Image, INVALID, new.fields())

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Hold the store from ``register`` until after the commit, so that no sweep takes the new file away."""
        async with self._store.locked():
            yield

    async def register(self, uow: UnitOfWork, caller: Caller, new: NewImage, file: CheckedFile) -> Image:
        """Give a received file its place and its row; call it and commit within ``publishing()``."""
        self.check_create(caller, new)
        if new.project_id is not None:  # much may have changed while the file arrived
            await hold_for_upload(uow, caller, new.project_id)
        facts = file.facts
        image = Image(
            **{**new.fields(), "min_disk_gib": max(new.min_disk_gib, least_disk_gib(facts))},
            format=facts.format.value,
            sha256=file.received.sha256,
            source_sha256=file.source.sha256,
            source_format=file.source.format,
            size_bytes=file.received.size_bytes,
            virtual_size_bytes=facts.virtual_size_bytes,
            owner_id=caller.user_id,
            project_id=new.project_id,
            path=str(self._store.path_of(file.received.sha256, facts.format.value)),
            created_at=uow.clock(),
        )
        await uow.image_space.end_upload(file.upload_id)  # from now on the image itself counts
        await uow.images.add(image)  # first: when the name was taken meanwhile, no file is left behind
        await self._store.publish(file.received, facts.format.value)
        _note(uow, "image.created", caller.user_id, image)
        return image

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        image_id: int,
        changes: dict[str, Any],
        check: Callable[[Image], None] = lambda _: None,
    ) -> Image:
        """Change what is said of an image (fields of ``NewImage``); ``check`` sees the locked row first."""
        image = _writable(caller, await uow.images.lock(image_id), Scope.IMAGE_UPDATE)
        check(image)
        check_fields(Image, INVALID, changes)
        if changes.get("visibility", image.visibility) != image.visibility:
            caller.require(Permission.CATALOGUE_WRITE)
        least = least_disk_gib(ImageFacts(ImageFormat(image.format), image.virtual_size_bytes))
        if changes.get("min_disk_gib", least) < least:
            text = f"The disk in the image has {least} GiB; min_disk_gib cannot be less."
            raise invalid("min_disk_below_image", text, Problem("min_disk_gib", text, "min_disk_below_image"))
        if changes.get("name", image.name) != image.name:
            await release_name(uow, ReferenceKind.IMAGE, image.name, image_id)
        if assign(image, changes):
            await uow.flush()  # a name that is taken is an error of this call
            _note(uow, "image.updated", caller.user_id, image)
        return image

    async def delete(
        self,
        uow: UnitOfWork,
        caller: Caller,
        image_id: int,
        check: Callable[[Image], None] = lambda _: None,
        *,
        force: bool = False,
    ) -> None:
        """Remove an image that no VM uses; its file goes after the commit, when no other image shares it.

        The rows of VMs that were deleted earlier go with it. ``force``: although templates use it, which cannot be
        launched any more then.

        Raises:
            ParcelaError: ``conflict`` ``image_in_use``, with the VMs or templates that the caller may see.
        """
        image = _writable(caller, await uow.images.lock(image_id), Scope.IMAGE_DELETE)
        check(image)
        if vms := await uow.images.living_vms(image_id):
            raise _in_use(caller, image, vms)
        await release_name(uow, ReferenceKind.IMAGE, image.name, image_id)
        if not force:
            await refuse_used(uow, caller, ReferenceKind.IMAGE, image.name, image_id)
        if image.visibility == "public":
            await note_removal(uow, ReferenceKind.IMAGE, image.name, image_id)
        await uow.images.forget_deleted_vms(image_id)
        digests = [digest for digest in (image.sha256, image.kernel_sha256, image.initrd_sha256) if digest]
        _note(uow, "image.deleted", caller.user_id, image)
        await uow.images.delete(image)
        uow.after_commit(lambda: self._sweep_later(digests))

    def _sweep_later(self, digests: list[str]) -> None:
        # Losing this is harmless: remove_unreferenced() finds the files at the next start.
        task = asyncio.get_running_loop().create_task(self._sweep(digests))
        self._sweeps.add(task)
        task.add_done_callback(self._sweeps.discard)

    async def _sweep(self, digests: list[str]) -> None:
        try:
            async with self._store.locked():
                for digest in digests:
                    async with self._uows.read() as uow:
                        used = await uow.images.refers_to(digest)
                    if not used:
                        await self._store.remove(digest)
        except ParcelaError as error:
            log.warning("images.sweep_failed", code=error.code, internal=error.internal)

    async def remove_unreferenced(self) -> None:
        """Remove the files of no image, and what killed uploads left: for the start of a process."""
        await self.purge_incoming()
        await self._sweep(sorted(await self._store.digests()))

    async def purge_incoming(self) -> None:
        """Remove the files of uploads that were killed."""
        removed = await self._store.run(self._store.purge_incoming)
        if removed:
            log.info("images.incoming_purged", files=removed)

    async def settle(self) -> None:
        """Wait until the files of deleted images are gone."""
        while self._sweeps:
            await asyncio.gather(*self._sweeps)

    async def aclose(self) -> None:
        """Wait for the last sweeps and end the threads."""
        await self.settle()
        self._store.close()

    async def register_bundled(self, uow: UnitOfWork, guest_dir: Path) -> Image | None:
        """Offer the built guest as a public image; the present image of its name is brought up to date.

        Call it and commit within ``publishing()``. What an administrator changed (description, visibility) stays.

        Returns:
            The image, or None when nothing was built in ``guest_dir``.

        Raises:
            ParcelaError: kind ``invalid`` when the manifest or a file is damaged, ``conflict`` when somebody else's
                image has the name.
        """
        bundled = await self._store.run(lambda: read_manifest(guest_dir))
        return None if bundled is None else await self._register_bundled(uow, bundled)

    async def _register_bundled(self, uow: UnitOfWork, bundled: BundledImage) -> Image:
        values = bundled.columns()
        for column, part, suffix in bundled.files():
            values[column] = str(await self._store.adopt(part.path, part.sha256, suffix))
        facts = await self._store.run(lambda: examine(Path(values["path"])))
        values |= {"format": facts.format.value, "virtual_size_bytes": facts.virtual_size_bytes}
        values["min_disk_gib"] = least_disk_gib(facts)
        values |= {"source_sha256": values["sha256"], "source_format": values["format"]}
        image = await self._present_bundled(uow, bundled.name)
        if image is None:
            fixed = {"name": bundled.name, "visibility": "public", "description": bundled.description}
            image = await uow.images.add(Image(**fixed, **values, owner_id=None, created_at=uow.clock()))
            _note(uow, "image.created", None, image)
            return image
        if any(getattr(image, column) != value for column, value in values.items()):
            for column, value in values.items():
                setattr(image, column, value)
            _note(uow, "image.updated", None, image)
        return image

    @staticmethod
    async def _present_bundled(uow: UnitOfWork, name: str) -> Image | None:
        """The bundled image, whatever an administrator called it: the only ones without an owner are ours."""
        image = await uow.images.by_name(name)
        if image is not None and image.owner_id is None:
            return image
        renamed = await uow.images.oldest_without_owner()
        if renamed is None and image is not None:
            raise _name_taken()
        return renamed


def least_disk_gib(facts: ImageFacts) -> int:
    """Smallest disk in GiB for a VM of the image: an overlay cannot be smaller, an ISO gets an empty disk."""
    return 1 if facts.format is ImageFormat.ISO else max(1, -(-facts.virtual_size_bytes // GIB))


def _seen(caller: Caller, image: Image) -> Image:
    visibility, owner_id = image.visibility, image.owner_id
    if not sees_image(caller, visibility=visibility, owner_id=owner_id, project_id=image.project_id):
        raise not_found("image", image.id)
    return image


def _writable(caller: Caller, image: Image, scope: Scope) -> Image:
    """Owners and managers of its project change what is still private; the rest needs ``catalogue:write``."""
    if caller.can(Permission.CATALOGUE_WRITE):
        return image
    _seen(caller, image)
    if image.visibility != "public" and not caller.reaches("image"):
        raise not_found("image", image.id)  # as every other thing is to a token without any scope of its kind
    mine = image.owner_id == caller.user_id or caller.manages(image.project_id)
    if not mine or image.visibility == "public":
        raise forbidden("not_yours", "You may use this image but not change it.")
    caller.require_scope(scope)
    return image


def _name_taken() -> ParcelaError:
    text = "There is already an image with this name."
    return conflict("image_exists", text, Problem("name", text, "image_exists"))


def _in_use(caller: Caller, image: Image, vms: Sequence[Mapping[str, Any]]) -> ParcelaError:
    """Members of a project do not see each other's VMs, so those of others are not named."""
    seen = [vm for vm in vms if caller.sees(vm["owner_id"], Permission.VM_READ_ALL, vm["project_id"])]
    problems = [Problem(f"vms[{vm['id']}]", f"VM {vm['name']} was made from it.", "in_use") for vm in seen]
    if len(seen) < len(vms):
        problems.append(Problem("vms", "VMs of other people were made from it.", "in_use"))
    return conflict("image_in_use", f"VMs use the image {image.name}; delete them first.", *problems)


def _may_not_publish() -> ParcelaError:
    right = Permission.CATALOGUE_WRITE.value
    return forbidden("permission_missing", f"To make an image public needs the permission '{right}'.")


def _note(uow: UnitOfWork, event_type: str, actor_id: int | None, image: Image) -> None:
    # owner None: only administrators are told of images nobody owns; everybody reads public ones in the list.
    data = {"id": image.id, "name": image.name, "visibility": image.visibility}
    uow.add_event(event_type, actor_id=actor_id, owner_id=image.owner_id, project_id=image.project_id, data=data)
