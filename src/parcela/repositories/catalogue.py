"""Flavours, images and zones."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, delete, exists, func, literal, or_, select, union_all, update

from parcela.core.lifecycle import SLICE_TERMINAL, VmState
from parcela.core.permissions import LAUNCHING
from parcela.models import ConsoleTicket, Flavour, Host, Image, Operation, ProjectMember, Slice, VirtualMachine, Zone
from parcela.models.derived import same, shown
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page

MAX_LISTED = 100
"""Users of a thing that are named when it cannot be removed."""


class FlavourRepository(Repository[Flavour]):
    """Flavours."""

    model = Flavour
    noun = "flavour"

    async def page(self, request: PageRequest, *, name: str | None = None) -> Page:
        """Flavours."""
        statement = select(*shown(Flavour))
        if name is not None:
            statement = statement.where(same(Flavour.name, name))
        sortable: dict[str, Any] = {
            "name": Flavour.name,
            "vcpus": Flavour.vcpus,
            "memory_mib": Flavour.memory_mib,
            "disk_gib": Flavour.disk_gib,
            "created_at": Flavour.created_at,
        }
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=Flavour.__table__.c.id)


class ImageRepository(Repository[Image]):
    """Images. ``visible_to``: the user whose private images are seen besides the public ones; None for all."""

    model = Image
    noun = "image"

    async def page(
        self,
        request: PageRequest,
        *,
        visible_to: int | None,
        projects: Collection[int] = (),
        name: str | None = None,
        os_type: str | None = None,
        image_format: str | None = None,
        visibility: str | None = None,
        owner_id: int | None = None,
        project_id: int | None = None,
    ) -> Page:
        """Images, without their paths; ``projects`` are those whose images are seen besides."""
        hidden = {"path", "kernel_path", "initrd_path", "cmdline"}
        columns = [column for column in shown(Image) if column.name not in hidden]
        statement = select(*columns, Image.kernel_path.is_not(None).label("boots_kernel"))
        if visible_to is not None:
            statement = statement.where(or_(*_own_or_public(visible_to), Image.project_id.in_(sorted(projects))))
        filters = {
            "name": name,
            "os_type": os_type,
            "format": image_format,
            "visibility": visibility,
            "owner_id": owner_id,
            "project_id": project_id,
        }
        for column, value in filters.items():
            if value is not None:
                statement = statement.where(same(getattr(Image, column), value))
        sortable: dict[str, Any] = {
            "name": Image.name,
            "created_at": Image.created_at,
            "size_bytes": Image.size_bytes,
        }
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=Image.__table__.c.id)

    async def usable(self, used_by: int | None) -> Sequence[RowMapping]:
        """What templates need to know of the images that a user may use (None for all), in one query: plain rows.

        Images of projects are for those who may launch there, as the memberships are stored now.
        """
        columns = (
            Image.id,
            Image.name,
            Image.os_type,
            Image.os_version,
            Image.format,
            Image.min_memory_mib,
            Image.min_disk_gib,
            Image.virtual_size_bytes,
        )
        statement = select(*columns).order_by(Image.id)
        if used_by is not None:
            launching = select(ProjectMember.project_id).where(
                ProjectMember.user_id == used_by, ProjectMember.role.in_(sorted(LAUNCHING))
            )
            statement = statement.where(or_(*_own_or_public(used_by), Image.project_id.in_(launching)))
        return (await self._session.execute(statement)).mappings().all()

    async def by_name(self, name: str) -> Image | None:
        """The image with this name, or None."""
        return (await self._session.scalars(select(Image).where(Image.name == name))).one_or_none()

    async def oldest_without_owner(self) -> Image | None:
        """The first image that nobody owns, or None."""
        statement = select(Image).where(Image.owner_id.is_(None)).order_by(Image.id).limit(1)
        return (await self._session.scalars(statement)).one_or_none()

    async def living_vms(self, image_id: int) -> list[dict[str, Any]]:
        """``id``, ``name``, ``owner_id`` and ``project_id`` of VMs made from an image, at most 100.

        A deleted VM that an operation still holds is one.
        """
        columns = (VirtualMachine.id, VirtualMachine.name, VirtualMachine.owner_id, VirtualMachine.project_id)
        statement = select(*columns).where(
            VirtualMachine.image_id == image_id,
            or_(VirtualMachine.state != VmState.DELETED.value, VirtualMachine.operation_id.is_not(None)),
        )
        rows = await self._session.execute(statement.order_by(VirtualMachine.id).limit(MAX_LISTED))
        return [dict(row) for row in rows.mappings()]

    async def forget_deleted_vms(self, image_id: int) -> int:
        """Remove the rows of deleted VMs made from an image; how many. Their operations and events stay."""
        dead = select(VirtualMachine.id).where(
            VirtualMachine.image_id == image_id,
            VirtualMachine.state == VmState.DELETED.value,
            VirtualMachine.operation_id.is_(None),
        )
        ids = list((await self._session.scalars(dead)).all())
        if not ids:
            return 0
        await self._changed(delete(ConsoleTicket).where(ConsoleTicket.vm_id.in_(ids)))
        await self._changed(update(Operation).where(Operation.vm_id.in_(ids)).values(vm_id=None))
        return await self._changed(delete(VirtualMachine).where(VirtualMachine.id.in_(ids)))

    async def refers_to(self, sha256: str) -> bool:
        """Whether an image uses a file (as disk, kernel or initrd)."""
        used = or_(Image.sha256 == sha256, Image.kernel_sha256 == sha256, Image.initrd_sha256 == sha256)
        return bool((await self._session.execute(select(exists().where(used)))).scalar_one())


class ZoneRepository(Repository[Zone]):
    """Zones."""

    model = Zone
    noun = "zone"

    async def page(self, request: PageRequest, *, name: str | None = None, provider: str | None = None) -> Page:
        """Zones."""
        statement = select(*shown(Zone))
        if name is not None:
            statement = statement.where(same(Zone.name, name))
        if provider is not None:
            statement = statement.where(Zone.provider == provider)
        sortable: dict[str, Any] = {"name": Zone.name, "created_at": Zone.created_at}
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=Zone.__table__.c.id)

    async def by_name(self, name: str) -> Zone | None:
        """The zone with this name, or None."""
        return (await self._session.scalars(select(Zone).where(Zone.name == name))).one_or_none()

    async def contents(self, zone_id: int) -> list[tuple[str, int, str]]:
        """("hosts", "slices" or "vms"; id; name) of what lives in a zone, at most 100 of them."""
        dead = [state.value for state in SLICE_TERMINAL]
        statement = union_all(
            select(literal("hosts"), Host.id, Host.name).where(Host.zone_id == zone_id),
            select(literal("slices"), Slice.id, Slice.name).where(Slice.zone_id == zone_id, Slice.state.not_in(dead)),
            select(literal("vms"), VirtualMachine.id, VirtualMachine.name).where(
                VirtualMachine.zone_id == zone_id, VirtualMachine.state != VmState.DELETED.value
            ),
        )
        rows = await self._session.execute(statement.limit(MAX_LISTED))
        return [(noun, row_id, name) for noun, row_id, name in rows]

    async def has_history(self, zone_id: int) -> bool:
        """Whether any slice or VM, living or not, belongs to a zone."""
        counted = (
            select(func.count()).select_from(model).where(model.zone_id == zone_id).scalar_subquery()
            for model in (Slice, VirtualMachine)
        )
        slices, vms = counted
        return bool((await self._session.execute(select(slices + vms))).scalar_one())


def _own_or_public(user_id: int) -> tuple[ColumnElement[bool], ...]:
    return Image.visibility == "public", Image.owner_id == user_id
