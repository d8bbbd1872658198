"""Which images and flavours the versions of templates refer to."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, or_, select, update

from parcela.core.topology.references import Key, Reference, ReferenceKind
from parcela.models import Flavour, Image, Template, TemplateReference, TemplateVersion
from parcela.repositories.base import Repository

MAX_LISTED = 100
"""Users of a thing that are named when it cannot be removed."""


@dataclass(frozen=True, slots=True)
class StoredReference:
    """A name in the document of a version, and what it stands for.

    Attributes:
        kind: what it names.
        name: as the document has it.
        is_resolved: it stands for one thing for ever; False: whatever has the name when it is needed.
        target_id: id of the image or flavour; None when that was removed, or the name is not resolved.
        present: its name now, or the last that a removed one had and everybody could see; None when not known.
        image: ``visibility``, ``owner_id`` and ``project_id`` of an image.
    """

    kind: ReferenceKind
    name: str
    is_resolved: bool
    target_id: int | None
    present: str | None
    image: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """Kind and name."""
        return self.kind, self.name

    @property
    def is_gone(self) -> bool:
        """Whether the thing was removed."""
        return self.is_resolved and self.target_id is None


class TemplateReferenceRepository(Repository[TemplateReference]):
    """References of template versions."""

    model = TemplateReference
    noun = "template reference"

    async def add_all(self, version_id: int, references: Sequence[Reference]) -> None:
        """Store what a new version refers to; an image or flavour that goes at the same moment is an error here."""
        rows = [
            {
                "version_id": version_id,
                "kind": reference.kind.value,
                "name": reference.name,
                "image_id": reference.target_id if reference.kind is ReferenceKind.IMAGE else None,
                "flavour_id": reference.target_id if reference.kind is ReferenceKind.FLAVOUR else None,
                "is_resolved": reference.target_id is not None,
            }
            for reference in references
        ]
        if rows:
            await self._session.execute(insert(TemplateReference), rows)

    async def of_version(self, template_id: int, number: int) -> Sequence[StoredReference]:
        """What one version of a template refers to."""
        statement = (
            select(
                TemplateReference.kind,
                TemplateReference.name,
                TemplateReference.is_resolved,
                func.coalesce(TemplateReference.image_id, TemplateReference.flavour_id).label("target_id"),
                func.coalesce(Image.name, Flavour.name, TemplateReference.gone_name).label("present"),
                Image.visibility,
                Image.owner_id,
                Image.project_id,
            )
            .join(TemplateVersion, TemplateVersion.id == TemplateReference.version_id)
            .outerjoin(Image, Image.id == TemplateReference.image_id)
            .outerjoin(Flavour, Flavour.id == TemplateReference.flavour_id)
            .where(TemplateVersion.template_id == template_id, TemplateVersion.version == number)
            .order_by(TemplateReference.id)
        )
        rows = (await self._session.execute(statement)).mappings().all()
        return [
            StoredReference(
                kind=ReferenceKind(row["kind"]),
                name=row["name"],
                is_resolved=row["is_resolved"],
                target_id=row["target_id"],
                present=row["present"],
                image={name: row[name] for name in ("visibility", "owner_id", "project_id")},
            )
            for row in rows
        ]

    async def flavour_names(self, template_ids: Collection[int]) -> dict[int, dict[Key, str]]:
        """The present names of the flavours that newest versions name, by template; empty for a removed one."""
        newest = (TemplateVersion.template_id == Template.id) & (TemplateVersion.version == Template.version)
        statement = (
            select(Template.id, TemplateReference.name, Flavour.name)
            .join(TemplateVersion, newest)
            .join(TemplateReference, TemplateReference.version_id == TemplateVersion.id)
            .outerjoin(Flavour, Flavour.id == TemplateReference.flavour_id)
            .where(
                Template.id.in_(sorted(template_ids)),
                TemplateReference.kind == ReferenceKind.FLAVOUR.value,
                TemplateReference.is_resolved.is_(True),
            )
        )
        found: dict[int, dict[Key, str]] = {}
        for template_id, name, present in await self._session.execute(statement):
            found.setdefault(template_id, {})[ReferenceKind.FLAVOUR, name] = present or ""
        return found

    async def users_of(
        self, kind: ReferenceKind, target_id: int, *, visible_to: int | None, projects: Collection[int]
    ) -> tuple[Sequence[tuple[int, str]], int]:
        """Templates whose newest version refers to a thing: (id, name) of those seen, at most 100; and how many in all.

        Args:
            kind: of the thing.
            target_id: its id.
            visible_to: user whose private templates are seen besides the public ones; None for all.
            projects: projects whose templates are seen too.
        """
        column = _column(kind)
        newest = (TemplateVersion.template_id == Template.id) & (TemplateVersion.version == Template.version)
        users = (
            select(Template.id, Template.name)
            .join(TemplateVersion, newest)
            .join(TemplateReference, TemplateReference.version_id == TemplateVersion.id)
            .where(column == target_id)
            .distinct()
        )
        count = (await self._session.execute(select(func.count()).select_from(users.subquery()))).scalar_one()
        if visible_to is not None:
            seen = (Template.visibility == "public", Template.owner_id == visible_to)
            users = users.where(or_(*seen, Template.project_id.in_(sorted(projects))))
        rows = await self._session.execute(users.order_by(Template.id).limit(MAX_LISTED))
        return [(row_id, name) for row_id, name in rows], int(count)

    async def settle(self, kind: ReferenceKind, name: str, target_id: int) -> None:
        """Give names that are not resolved the thing that has the name now: it is about to lose it."""
        waiting = select(TemplateReference.id, TemplateReference.name).where(
            TemplateReference.name == name,
            TemplateReference.kind == kind.value,
            TemplateReference.is_resolved.is_(False),
        )
        # Compared here again: what MariaDB takes for one name may differ in case.
        ids = [row_id for row_id, found in await self._session.execute(waiting) if found == name]
        if ids:
            value = {f"{kind.value}_id": target_id, "is_resolved": True}
            await self._changed(update(TemplateReference).where(TemplateReference.id.in_(ids)).values(value))

    async def note_gone(self, kind: ReferenceKind, target_id: int, name: str) -> None:
        """Keep the last name of a thing that is about to be removed."""
        of_it = update(TemplateReference).where(_column(kind) == target_id, TemplateReference.name != name)
        await self._changed(of_it.values(gone_name=name))


def _column(kind: ReferenceKind) -> Any:
    return TemplateReference.image_id if kind is ReferenceKind.IMAGE else TemplateReference.flavour_id
