"""Projects and who is in them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, or_, select

from parcela.core.collation import caseless
from parcela.core.permissions import ProjectRole
from parcela.models import Image, Project, ProjectMember, Slice, Template, User, VirtualMachine
from parcela.models.derived import shown
from parcela.repositories.base import Repository
from parcela.repositories.paging import Page, PageRequest, fetch_page

SHOWN = 100


class ProjectRepository(Repository[Project]):
    """Projects and memberships."""

    model = Project
    noun = "project"

    async def page(
        self, request: PageRequest, *, of_user: int | None = None, name: str | None = None, opened: bool = False
    ) -> Page:
        """Projects with their number of members; with ``of_user``, of those that are shown to this user.

        Args:
            request: page wanted.
            of_user: only those this user is in; None for all.
            name: only the one of this name, whatever its case.
            opened: only those that ``of_user`` has opened.
        """
        counted = select(func.count(ProjectMember.user_id)).where(ProjectMember.project_id == Project.id)
        if of_user is not None:
            counted = counted.where(or_(ProjectMember.opened_at.is_not(None), ProjectMember.user_id == of_user))
        members = counted.correlate(Project).scalar_subquery().label("members")
        statement = select(*shown(Project), members)
        if of_user is not None:
            mine = select(ProjectMember.project_id).where(ProjectMember.user_id == of_user)
            if opened:
                mine = mine.where(ProjectMember.opened_at.is_not(None))
            statement = statement.where(Project.id.in_(mine))
        if name is not None:
            statement = statement.where(Project.name_key == caseless(name))
        sortable: dict[str, Any] = {"name": Project.name, "created_at": Project.created_at}
        return await fetch_page(self._session, statement, request, sortable=sortable, id_column=Project.__table__.c.id)

    async def roles_of_user(self, user_id: int) -> dict[int, ProjectRole]:
        """Role by project of a user."""
        statement = select(ProjectMember.project_id, ProjectMember.role).where(ProjectMember.user_id == user_id)
        return {project_id: ProjectRole(role) for project_id, role in await self._session.execute(statement)}

    async def members(self, project_id: int) -> list[Mapping[str, Any]]:
        """Members of a project with their names, by username."""
        statement = (
            select(
                User.id.label("user_id"),
                User.username,
                User.full_name,
                ProjectMember.role,
                ProjectMember.created_at,
                ProjectMember.opened_at.is_not(None).label("opened"),
            )
            .join(ProjectMember, ProjectMember.user_id == User.id)
            .where(ProjectMember.project_id == project_id)
            .order_by(User.username_sort)
        )
        return [dict(row) for row in (await self._session.execute(statement)).mappings()]

    async def member(self, project_id: int, user_id: int) -> ProjectMember | None:
        """One membership, locked: who puts something into the project at this moment holds it too; or None."""
        key = (project_id, user_id)
        return await self._session.get(ProjectMember, key, populate_existing=True, with_for_update=True)

    async def hold_members(self, project_id: int) -> None:
        """Lock all memberships, after whatever is being put into the project just now."""
        held = select(ProjectMember.user_id).where(ProjectMember.project_id == project_id)
        await self._session.execute(held.order_by(ProjectMember.user_id).with_for_update())

    async def add_member(self, member: ProjectMember) -> None:
        """Store a membership."""
        self._session.add(member)
        await self._session.flush()  # a second one of the same user must object here

    async def remove_member(self, member: ProjectMember) -> None:
        """Remove a membership."""
        await self._session.delete(member)
        await self._session.flush()  # the answer counts members

    async def things_in(self, project_id: int, *, owner_id: int | None = None) -> list[tuple[str, int, str]]:
        """(noun, id, name) of living slices, VMs outside of slices, templates and images in it, at most 100 of each."""
        kinds: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
            ("slice", Slice, (Slice.state != "destroyed",)),
            (
                "virtual machine",
                VirtualMachine,
                (VirtualMachine.state != "deleted", VirtualMachine.slice_id.is_(None)),
            ),
            ("template", Template, ()),
            ("image", Image, ()),
        )
        found: list[tuple[str, int, str]] = []
        for noun, model, living in kinds:
            statement = select(model.id, model.name).where(model.project_id == project_id, *living)
            if owner_id is not None:
                statement = statement.where(model.owner_id == owner_id)
            rows = await self._session.execute(statement.order_by(model.id).limit(SHOWN))
            found += [(noun, row_id, name) for row_id, name in rows]
        return found
