"""Projects: a class or a team, who is in it, and what it may use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parcela.core.errors import Problem, conflict, forbidden, invalid, not_found
from parcela.core.permissions import Permission, ProjectKind, ProjectRole
from parcela.core.scopes import Scope
from parcela.core.settings import Settings
from parcela.models import Project, ProjectMember, Quota
from parcela.models.projects import RESOURCES
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller, check_visible, scope_missing
from parcela.services.changes import assign
from parcela.services.projects.image_quota import ImageQuotaState
from parcela.services.projects.memberships import note_member
from parcela.services.projects.quotas import NO_LIMITS, default_limits

IMAGES = "images_gib"
"""Besides ``RESOURCES``: what hosts do not reserve."""


@dataclass(frozen=True, slots=True)
class QuotaState:
    """Ceilings of a user or project, each with what of it is used.

    Attributes:
        limits: ceiling by resource; None for none.
        own: the same as somebody set it; None where the default counts.
        used: what reservations sum up to; of images, GiB rounded up.
    """

    limits: Mapping[str, int | None]
    own: Mapping[str, int | None]
    used: Mapping[str, int]


class ProjectService:
    """Administrators make projects; managers look after them; strangers do not know that they exist."""

    def __init__(self, settings: Settings) -> None:
        """Take the default ceilings."""
        self._settings = settings

    async def page(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest, *, name: str | None = None) -> Page:
        """Projects the caller is in; all with ``project:read_all``."""
        return await uow.projects.page(request, of_user=caller.list_filter(Permission.PROJECT_READ_ALL), name=name)

    async def get(self, uow: ReadUnitOfWork, caller: Caller, project_id: int) -> Project:
        """A project the caller may see."""
        row = await uow.projects.get(project_id)
        mine = project_id in caller.projects and caller.reaches("project")
        if not mine and not caller.can(Permission.PROJECT_READ_ALL):
            raise not_found("project", project_id)
        return row

    async def create(
        self, uow: UnitOfWork, caller: Caller, *, name: str, kind: ProjectKind, description: str = ""
    ) -> Project:
        """Make a project without members."""
        caller.require(Permission.PROJECT_WRITE_ALL)
        now = uow.clock()
        row = await uow.projects.add(
            Project(
                name=name,
                kind=kind.value,
                description=description,
                created_at=now,
                updated_at=now,
            )
        )
        _note(uow, "project.created", caller, row)
        return row

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        project_id: int,
        changes: Mapping[str, Any],
        check: Callable[[Project], None],
    ) -> Project:
        """Change name, kind or description; ``check`` sees the locked row first."""
        row = await self._writable(uow, caller, project_id, Scope.PROJECT_UPDATE)
        check(row)
        given = {field: value for field, value in changes.items() if value is not None}
        values = {name: value.value if isinstance(value, ProjectKind) else value for name, value in given.items()}
        if not assign(row, values):
            return row
        row.updated_at = uow.clock()
        await uow.flush()  # another project may have the name; the answer shows the stored row
        _note(uow, "project.changed", caller, row)
        return row

    async def delete(
        self, uow: UnitOfWork, caller: Caller, project_id: int, check: Callable[[Project], None] = lambda _: None
    ) -> None:
        """Remove a project in which nothing is left. ``check`` sees the locked row first.

        Raises:
            ParcelaError: ``conflict`` ``project_in_use``, with everything that stands in the way.
        """
        await self.get(uow, caller, project_id)
        caller.require(Permission.PROJECT_WRITE_ALL)
        row = await uow.projects.lock(project_id)
        check(row)
        await uow.projects.hold_members(project_id)  # nobody puts anything into it meanwhile
        things = await uow.projects.things_in(project_id)
        if things:
            text = f"There are still {len(things)} thing(s) in the project, listed in 'problems'."
            raise conflict("project_in_use", text, *[_thing(*thing) for thing in things])
        _note(uow, "project.deleted", caller, row)
        await uow.projects.delete(row)

    # ---- members

    async def members(self, uow: ReadUnitOfWork, caller: Caller, project_id: int) -> Sequence[Mapping[str, Any]]:
        """Who is in it, by username; people who have not opened it yet are told to administrators and themselves."""
        await self.get(uow, caller, project_id)
        rows = await uow.projects.members(project_id)
        everybody = caller.can(Permission.PROJECT_READ_ALL)
        return [row for row in rows if everybody or row["opened"] or row["user_id"] == caller.user_id]

    async def add_member(
        self, uow: UnitOfWork, caller: Caller, project_id: int, *, user: str, role: ProjectRole
    ) -> Mapping[str, Any]:
        """Take somebody in, by e-mail address or username: for administrators. Managers invite addresses.

        The answer says whether there is such a user, so it needs ``project:write_all`` and ``user:read``.
        """
        row = await self.lock_managed(uow, caller, project_id)
        await self.check_adding(uow, caller, project_id)
        found = await uow.users.by_identifier(user.strip().lower())
        if found is None:
            text = f"There is no user '{user}'."
            raise invalid("unknown_user", text, Problem("body.user", text, "unknown_user"))
        if await uow.projects.member(project_id, found.id) is not None:
            raise conflict("already_member", f"{found.username} is in the project already; change their role.")
        opened_at = uow.clock() if found.id == caller.user_id else None
        member = ProjectMember(
            project_id=project_id, user_id=found.id, role=role.value, created_at=uow.clock(), opened_at=opened_at
        )
        await uow.projects.add_member(member)
        await note_member(uow, "project.member_added", caller, row, member, role=role.value)
        return await _member(uow, project_id, found.id)

    async def change_member(
        self, uow: UnitOfWork, caller: Caller, project_id: int, user_id: int, role: ProjectRole
    ) -> Mapping[str, Any]:
        """Give a member another role."""
        row = await self.lock_managed(uow, caller, project_id)
        membership = await _known_member(uow, caller, project_id, user_id)
        if not assign(membership, {"role": role.value}):
            return await _member(uow, project_id, user_id)
        await uow.flush()  # the answer shows the stored row
        await note_member(uow, "project.member_changed", caller, row, membership, role=role.value)
        return await _member(uow, project_id, user_id)

    async def remove_member(self, uow: UnitOfWork, caller: Caller, project_id: int, user_id: int) -> None:
        """Let a member go; everybody may leave.

        Raises:
            ParcelaError: ``conflict`` ``member_owns_things`` while they own slices, VMs, templates or images in it.
        """
        row = await self.get(uow, caller, project_id)
        if user_id == caller.user_id:
            caller.require_scope(Scope.PROJECT_LEAVE)
        else:
            row = await self.lock_managed(uow, caller, project_id)
        membership = await _known_member(uow, caller, project_id, user_id)
        things = await uow.projects.things_in(project_id, owner_id=user_id)
        if things:
            text = f"They still own {len(things)} thing(s) in the project, listed in 'problems'; remove these first."
            raise conflict("member_owns_things", text, *[_thing(*thing) for thing in things])
        await note_member(uow, "project.member_removed", caller, row, membership)
        await uow.projects.remove_member(membership)

    async def check_members(self, uow: ReadUnitOfWork, caller: Caller, project_id: int) -> None:
        """Raise when the caller may not change who is in a project."""
        await self._check_writable(uow, caller, project_id, Scope.PROJECT_MEMBERS)

    async def check_adding(self, uow: ReadUnitOfWork, caller: Caller, project_id: int) -> None:
        """Raise when the caller may not add people without asking them."""
        await self.check_members(uow, caller, project_id)
        if not (caller.can(Permission.PROJECT_WRITE_ALL) and caller.can(Permission.USER_READ)):
            text = "Managers invite people by their e-mail address: POST /projects/{id}/invitations."
            raise forbidden("invite_instead", text)

    async def lock_managed(self, uow: UnitOfWork, caller: Caller, project_id: int) -> Project:
        """The locked project, for who may change who is in it."""
        return await self._writable(uow, caller, project_id, Scope.PROJECT_MEMBERS)

    async def _writable(self, uow: UnitOfWork, caller: Caller, project_id: int, scope: Scope) -> Project:
        """The locked project, for its managers and holders of ``project:write_all``."""
        await self._check_writable(uow, caller, project_id, scope)
        return await uow.projects.lock(project_id)

    async def _check_writable(self, uow: ReadUnitOfWork, caller: Caller, project_id: int, scope: Scope) -> None:
        await self.get(uow, caller, project_id)
        manages, write_all = caller.manages(project_id), Permission.PROJECT_WRITE_ALL
        if not (manages and caller.in_scope(scope)) and not caller.can(write_all):
            if manages or caller.holds(write_all):
                raise scope_missing(scope if manages else write_all)
            raise forbidden("project_role", "Only managers of the project may do this.")

    # ---- quotas

    async def quota_of_user(self, uow: ReadUnitOfWork, caller: Caller, user_id: int) -> QuotaState:
        """Ceilings of a user; one's own (a token: with any scope of ``user``), others with ``user:read`` only."""
        check_visible(caller, user_id, Permission.USER_READ, "user", user_id)
        if await uow.users.get_or_none(user_id) is None:
            raise not_found("user", user_id)
        return await self._state_of_user(uow, user_id, await uow.quotas.of_user(user_id))

    async def quota_of_project(self, uow: ReadUnitOfWork, caller: Caller, project_id: int) -> QuotaState:
        """Ceilings of a project the caller may see."""
        await self.get(uow, caller, project_id)
        return await self._state_of_project(uow, project_id, await uow.quotas.of_project(project_id))

    async def set_quota_of_user(
        self,
        uow: UnitOfWork,
        caller: Caller,
        user_id: int,
        limits: Mapping[str, int | None],
        check: Callable[[QuotaState], None],
    ) -> QuotaState:
        """Set all ceilings of a user; None is the default. What is in use already stays, also above them.

        ``check`` sees the locked row first; likewise for a project.
        """
        caller.require(Permission.QUOTA_WRITE)
        await self.quota_of_user(uow, caller, user_id)  # there must be such a user
        row = await uow.quotas.lock_or_add(user_id=user_id)
        check(await self._state_of_user(uow, user_id, row))
        await _set(uow, row, limits)
        uow.add_event("quota.changed", actor_id=caller.user_id, owner_id=user_id, data={"user_id": user_id, **limits})
        return await self.quota_of_user(uow, caller, user_id)

    async def set_quota_of_project(
        self,
        uow: UnitOfWork,
        caller: Caller,
        project_id: int,
        limits: Mapping[str, int | None],
        check: Callable[[QuotaState], None],
    ) -> QuotaState:
        """Set all ceilings of a project; None is none, of images the default."""
        await self.get(uow, caller, project_id)
        caller.require(Permission.QUOTA_WRITE)
        row = await uow.quotas.lock_or_add(project_id=project_id)
        check(await self._state_of_project(uow, project_id, row))
        await _set(uow, row, limits)
        data = {"project_id": project_id, **limits}
        uow.add_event("quota.changed", actor_id=caller.user_id, project_id=project_id, data=data)
        return await self.quota_of_project(uow, caller, project_id)

    async def _state_of_user(self, uow: ReadUnitOfWork, user_id: int, row: Quota | None) -> QuotaState:
        used_bytes = await uow.image_space.bytes_of_user(user_id)
        images = ImageQuotaState.of(row, self._settings.quota_images_gib, used_bytes)
        return _state(row, default_limits(self._settings), images)

    async def _state_of_project(self, uow: ReadUnitOfWork, project_id: int, row: Quota | None) -> QuotaState:
        used_bytes = await uow.image_space.bytes_of_project(project_id)
        images = ImageQuotaState.of(row, self._settings.quota_project_images_gib, used_bytes)
        return _state(row, NO_LIMITS, images)


async def _member(uow: UnitOfWork, project_id: int, user_id: int) -> Mapping[str, Any]:
    return next(row for row in await uow.projects.members(project_id) if row["user_id"] == user_id)


async def _known_member(uow: UnitOfWork, caller: Caller, project_id: int, user_id: int) -> ProjectMember:
    """A membership of which the caller may know, locked."""
    membership = await uow.projects.member(project_id, user_id)
    known = user_id == caller.user_id or caller.can(Permission.PROJECT_READ_ALL)
    if membership is None or not (known or membership.opened_at is not None):
        raise not_found("member", user_id)
    return membership


async def _set(uow: UnitOfWork, row: Quota, limits: Mapping[str, int | None]) -> None:
    for name in RESOURCES:
        setattr(row, f"max_{name}", limits[name])
    row.max_images_gib = limits.get(IMAGES)
    await uow.flush()  # the answer reads it back


def _state(row: Quota | None, defaults: Mapping[str, int | None], images: ImageQuotaState) -> QuotaState:
    own = {name: getattr(row, f"max_{name}") if row else None for name in RESOURCES}
    return QuotaState(
        limits={name: own[name] if own[name] is not None else defaults[name] for name in RESOURCES}
        | {IMAGES: images.limit_gib},
        own=own | {IMAGES: images.own_gib},
        used={name: getattr(row, f"used_{name}") if row else 0 for name in RESOURCES} | {IMAGES: images.used_gib},
    )


def _thing(noun: str, row_id: int, name: str) -> Problem:
    where = f"{noun.replace(' ', '_')}s[{row_id}]"
    return Problem(where, f"The {noun} '{name}' (id {row_id}).", f"in_project_{noun.replace(' ', '_')}")


def _note(uow: UnitOfWork, event_type: str, caller: Caller, row: Project) -> None:
    facts = {"project_id": row.id, "name": row.name}
    uow.add_event(event_type, actor_id=caller.user_id, owner_id=None, project_id=row.id, data=facts)
