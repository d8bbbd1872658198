"""Invitations into projects."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select

from parcela.models import Project, ProjectInvitation, ProjectMember
from parcela.repositories.base import Repository

SHOWN = 1000


class InvitationRepository(Repository[ProjectInvitation]):
    """Invitations; a withdrawn or expired one is none for anybody, but its row stays until it expires."""

    model = ProjectInvitation
    noun = "invitation"

    async def by_address(self, project_id: int, email: str) -> ProjectInvitation | None:
        """The row of an address in a project, locked, whatever became of it."""
        statement = select(ProjectInvitation).where(
            ProjectInvitation.project_id == project_id, ProjectInvitation.email == email
        )
        locked = statement.with_for_update().execution_options(populate_existing=True)
        return (await self._session.scalars(locked)).one_or_none()

    async def by_token(self, token_hash: str) -> ProjectInvitation | None:
        """A living invitation by the hash of its token."""
        statement = select(ProjectInvitation).where(ProjectInvitation.token_hash == token_hash, *self._living())
        return (await self._session.scalars(statement)).one_or_none()

    async def of_project(self, project_id: int) -> list[ProjectInvitation]:
        """Living invitations into a project, by address, at most 1000."""
        statement = select(ProjectInvitation).where(ProjectInvitation.project_id == project_id, *self._living())
        return list(await self._session.scalars(statement.order_by(ProjectInvitation.email).limit(SHOWN)))

    async def living(self, project_id: int) -> int:
        """Number of living invitations into a project."""
        statement = select(func.count()).where(ProjectInvitation.project_id == project_id, *self._living())
        return int((await self._session.scalar(statement)) or 0)

    async def sent_since(self, project_id: int, since: datetime) -> int:
        """How many invitations of a project were sent from then on, withdrawn ones included."""
        statement = select(func.count()).where(
            ProjectInvitation.project_id == project_id, ProjectInvitation.sent_at >= since
        )
        return int((await self._session.scalar(statement)) or 0)

    async def of_address(self, email: str) -> list[Mapping[str, Any]]:
        """Living invitations of an address that were not refused: project_id, project, role, since, expires_at."""
        columns = (
            ProjectInvitation.project_id,
            Project.name.label("project"),
            ProjectInvitation.role,
            ProjectInvitation.created_at.label("since"),
            ProjectInvitation.expires_at,
        )
        statement = select(*columns).join(Project, Project.id == ProjectInvitation.project_id)
        mine = statement.where(
            ProjectInvitation.email == email, ProjectInvitation.declined_at.is_(None), *self._living()
        )
        rows = await self._session.execute(mine.order_by(ProjectInvitation.project_id).limit(SHOWN))
        return [dict(row) for row in rows.mappings()]

    async def unopened(self, user_id: int) -> list[Mapping[str, Any]]:
        """Memberships that their user has not opened yet, in the form of ``of_address``; they do not expire."""
        statement = (
            select(
                ProjectMember.project_id,
                Project.name.label("project"),
                ProjectMember.role,
                ProjectMember.created_at.label("since"),
            )
            .join(Project, Project.id == ProjectMember.project_id)
            .where(ProjectMember.user_id == user_id, ProjectMember.opened_at.is_(None))
            .order_by(ProjectMember.project_id)
        )
        return [{**row, "expires_at": None} for row in (await self._session.execute(statement)).mappings()]

    async def purge(self) -> int:
        """Remove expired rows; how many."""
        return await self._changed(delete(ProjectInvitation).where(ProjectInvitation.expires_at <= self._clock()))

    def _living(self) -> tuple[Any, ...]:
        return ProjectInvitation.withdrawn_at.is_(None), ProjectInvitation.expires_at > self._clock()
