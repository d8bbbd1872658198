"""Templates and their versions."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Select, delete, func, or_, select

from parcela.core.errors import not_found
from parcela.core.lifecycle import SLICE_TERMINAL, SliceState
from parcela.models import Project, Slice, Template, TemplateVersion, User
from parcela.models.derived import same, shown
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page


class TemplateRepository(Repository[Template]):
    """Templates."""

    model = Template
    noun = "template"

    async def page(
        self,
        request: PageRequest,
        *,
        visible_to: int | None,
        projects: Collection[int] = (),
        project_id: int | None = None,
        owner_id: int | None = None,
        visibility: str | None = None,
        name: str | None = None,
    ) -> Page:
        """Templates without their documents, with the name of their owner.

        Args:
            request: page wanted.
            visible_to: user whose private templates are seen besides the public ones; None for all.
            projects: projects whose templates are seen too.
            project_id: only those of this project.
            owner_id: only those of this user.
            visibility: only ``public`` or ``private`` ones.
            name: only those of exactly this name.
        """
        statement = _visible(_with_owner(Template), visible_to, projects)
        filters = {"project_id": project_id, "owner_id": owner_id, "visibility": visibility, "name": name}
        for column, value in filters.items():
            if value is not None:
                statement = statement.where(same(getattr(Template, column), value))
        sortable: dict[str, Any] = {
            "name": Template.name,
            "created_at": Template.created_at,
            "updated_at": Template.updated_at,
        }
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=Template.__table__.c.id)

    async def detail(self, template_id: int) -> dict[str, Any]:
        """One template as ``page`` gives it, with the ``document`` of its newest version."""
        newest = (TemplateVersion.template_id == Template.id) & (TemplateVersion.version == Template.version)
        statement = _with_owner(Template, TemplateVersion.document).join(TemplateVersion, newest)
        row = (await self._session.execute(statement.where(Template.id == template_id))).mappings().one_or_none()
        if row is None:
            raise not_found(self.noun, template_id)
        return _plain(row)

    async def documents(self, template_ids: Collection[int]) -> dict[int, dict[str, Any]]:
        """Documents of the newest versions by the id of their template."""
        newest = (TemplateVersion.template_id == Template.id) & (TemplateVersion.version == Template.version)
        statement = select(Template.id, TemplateVersion.document).join(TemplateVersion, newest)
        rows = (await self._session.execute(statement.where(Template.id.in_(sorted(template_ids))))).mappings()
        return {row["id"]: row["document"] for row in rows}

    async def descriptions(
        self, template_ids: Collection[int], *, visible_to: int | None, projects: Collection[int] = ()
    ) -> dict[int, str]:
        """Descriptions of those that are seen (as ``page`` says), by id."""
        statement = select(*Template.__table__.columns).where(Template.id.in_(sorted(template_ids)))
        rows = (await self._session.execute(_visible(statement, visible_to, projects))).mappings()
        return {row["id"]: row["description"] for row in rows}

    async def add_version(self, version: TemplateVersion) -> None:
        """Store one more version; it never changes again."""
        self._session.add(version)
        await self._session.flush()  # two saves of one template at a time must object here

    async def sizes_of(self, owner_id: int) -> tuple[int, int]:
        """(templates, bytes of all their versions) of a user."""
        templates = select(func.count(Template.id)).where(Template.owner_id == owner_id).scalar_subquery()
        sizes = (
            select(func.coalesce(func.sum(TemplateVersion.size_bytes), 0))
            .join(Template, Template.id == TemplateVersion.template_id)
            .where(Template.owner_id == owner_id)
            .scalar_subquery()
        )
        count, size = (await self._session.execute(select(templates, sizes))).one()
        return int(count), int(size)

    async def thin_out(self, template_id: int, until: int) -> int:
        """Remove versions up to a number, but those that existing slices were made from; how many."""
        living = [state.value for state in SliceState if state not in SLICE_TERMINAL]
        used = select(Slice.template_version).where(
            Slice.template_id == template_id, Slice.template_version.is_not(None), Slice.state.in_(living)
        )
        return await self._changed(
            delete(TemplateVersion).where(
                TemplateVersion.template_id == template_id,
                TemplateVersion.version <= until,
                TemplateVersion.version.not_in(used),
            )
        )

    async def version(self, template_id: int, number: int) -> dict[str, Any]:
        """One version with its document; ``not_found`` when there is none."""
        statement = _versions(template_id, TemplateVersion.document).where(TemplateVersion.version == number)
        row = (await self._session.execute(statement)).mappings().one_or_none()
        if row is None:
            raise not_found("template version", f"{template_id}/{number}")
        return _plain(row)

    async def versions(self, template_id: int, request: PageRequest) -> Page:
        """Versions of a template without their documents."""
        sortable: dict[str, Any] = {"version": TemplateVersion.version, "created_at": TemplateVersion.created_at}
        id_column = TemplateVersion.__table__.c.id
        return await fetch_page(self._session, _versions(template_id), request, sortable=sortable, id_column=id_column)


def _visible(statement: Select[Any], visible_to: int | None, projects: Collection[int]) -> Select[Any]:
    if visible_to is None:
        return statement
    seen = (Template.visibility == "public", Template.owner_id == visible_to)
    return statement.where(or_(*seen, Template.project_id.in_(sorted(projects))))


def _with_owner(*columns: Any) -> Select[Any]:
    template, *others = columns
    return (
        select(*shown(template), User.username.label("owner"), Project.name.label("project"), *others)
        # Every template has an owner, but an inner join may begin with the users, and sort all templates for a page.
        .outerjoin(User, User.id == template.owner_id)
        .outerjoin(Project, Project.id == template.project_id)
    )


def _versions(template_id: int, *others: Any) -> Select[Any]:
    columns = (
        TemplateVersion.id,
        TemplateVersion.template_id,
        TemplateVersion.version,
        TemplateVersion.created_by,
        TemplateVersion.created_at,
    )
    return select(*columns, *others).where(TemplateVersion.template_id == template_id)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in row.items()}
