"""Invitations into projects: a manager names addresses, and learns nothing about who has them.

The same is done and answered for every address: a row and an event are written, a mail is queued. An invitation counts
for the account whose verified address it is, whenever there is one; the person accepts or declines, and only then does
the project know them. See ADR 0032.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from parcela.core.errors import ErrorKind, ParcelaError, Problem, conflict, forbidden, invalid, not_found
from parcela.core.permissions import Permission
from parcela.core.scopes import Scope
from parcela.core.settings import Settings
from parcela.core.tokens import hash_token, new_secret
from parcela.models import Project, ProjectInvitation, ProjectMember, User
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller, scope_missing
from parcela.services.mail.outbox import Mail, MailService
from parcela.services.mail.texts import mail_text
from parcela.services.projects.invitation_lists import Invitee
from parcela.services.projects.memberships import joined, note_member
from parcela.services.projects.projects import ProjectService

PAGE = "/invitations/confirm"
MAILED_EVERY = timedelta(days=1)
HOUR = timedelta(hours=1)
MAX_TOKEN_CHARS = 200


class InvitationService:
    """Managers invite and withdraw; the invited accept and decline."""

    def __init__(self, settings: Settings, projects: ProjectService, mail: MailService) -> None:
        """Take limits, the rights to projects, and the outbox."""
        self._settings = settings
        self._projects = projects
        self._mail = mail

    # ---- managers

    async def of_project(self, uow: ReadUnitOfWork, caller: Caller, project_id: int) -> Sequence[ProjectInvitation]:
        """Open invitations, by address; one that was declined looks like the others until it expires."""
        await self._projects.get(uow, caller, project_id)
        if not caller.manages(project_id) and not caller.can(Permission.PROJECT_READ_ALL):
            raise forbidden("project_role", "Only managers of the project may do this.")
        return await uow.invitations.of_project(project_id)

    async def invite(
        self, uow: UnitOfWork, caller: Caller, project_id: int, invitees: Sequence[Invitee]
    ) -> Sequence[ProjectInvitation]:
        """Invite addresses, all or none; inviting one again gives it the new role and the full time.

        Raises:
            ParcelaError: ``conflict`` ``too_many_invitations``; ``rate_limited`` ``invitations_too_fast``.
        """
        project = await self._projects.lock_managed(uow, caller, project_id)
        rows = [await self._invited(uow, caller, project, invitee) for invitee in invitees]
        await self._check_limits(uow, project_id)
        return rows

    async def withdraw(self, uow: UnitOfWork, caller: Caller, project_id: int, invitation_id: int) -> None:
        """Take an invitation back."""
        project = await self._projects.lock_managed(uow, caller, project_id)
        found = await uow.invitations.get_or_none(invitation_id)
        if found is None or found.project_id != project_id:
            raise not_found("invitation", invitation_id)
        row = await uow.invitations.lock(invitation_id)
        if row.project_id != project_id or row.withdrawn_at or row.expires_at <= uow.clock():
            raise not_found("invitation", invitation_id)
        row.withdrawn_at = uow.clock()
        facts = {"project_id": project.id, "name": project.name, "invitation_id": row.id}
        uow.add_event("project.invitation_withdrawn", actor_id=caller.user_id, owner_id=caller.user_id, data=facts)

    async def _invited(self, uow: UnitOfWork, caller: Caller, project: Project, invitee: Invitee) -> ProjectInvitation:
        now, token = uow.clock(), new_secret()
        row = await uow.invitations.by_address(project.id, invitee.email)
        fresh = row is None
        if row is None:
            row = ProjectInvitation(project_id=project.id, email=invitee.email, created_at=now, sent_at=now)
        row.role, row.expires_at = invitee.role.value, now + timedelta(days=self._settings.invitation_days)
        row.withdrawn_at = None
        if row.declined_at and now - row.declined_at > timedelta(days=self._settings.invitation_days):
            row.declined_at = None
        mailed = fresh or now - row.sent_at >= MAILED_EVERY
        if mailed:
            row.sent_at, row.token_hash = now, hash_token(token)
        if fresh:
            await uow.invitations.add(row)
        if mailed and self._mail.configured:
            await self._mail.enqueue(uow, self._link_mail(caller, project, invitee.email, token))
        await self._tell(uow, project, row)
        return row

    @staticmethod
    async def _tell(uow: UnitOfWork, project: Project, row: ProjectInvitation) -> None:
        """An event in any case; only the account with this verified address, if there is one, is its owner.

        It has no project and no actor: the manager must not see whether it has an owner.
        """
        user = await uow.users.by_identifier(row.email)
        owner_id = user.id if user is not None and _is_verified(user) and not row.declined_at else None
        facts = {"project_id": project.id, "name": project.name, "role": row.role, "invitation_id": row.id}
        uow.add_event("project.invited", actor_id=None, owner_id=owner_id, data=facts)

    async def _check_limits(self, uow: UnitOfWork, project_id: int) -> None:
        most, hourly = self._settings.invitations_per_project, self._settings.invitations_per_hour
        await uow.flush()  # both are counted with the new rows; the project is locked
        if await uow.invitations.living(project_id) > most:
            text = f"A project may have {most} open invitations; withdraw some or wait until they end."
            raise conflict("too_many_invitations", text)
        if await uow.invitations.sent_since(project_id, uow.clock() - HOUR) > hourly:
            text = f"A project may send {hourly} invitations an hour; try again later."
            raise ParcelaError(ErrorKind.RATE_LIMITED, "invitations_too_fast", text, retry_after_s=3600)

    def _link_mail(self, caller: Caller, project: Project, email: str, token: str) -> Mail:
        """In the language of who invites: that of the invited would tell whether there is an account."""
        values = {
            "project": project.name,
            "site": self._mail.site,
            "email": email,
            "days": self._settings.invitation_days,
            "link": f"{self._mail.site}{PAGE}?token={token}",
        }
        subject, body = mail_text("project_invited", caller.locale, **values)
        return Mail("project_invited", email, subject, body)

    # ---- the invited

    async def mine(self, uow: ReadUnitOfWork, caller: Caller) -> Sequence[Mapping[str, Any]]:
        """Projects the caller is asked into, or was added to and has not opened yet."""
        if not caller.reaches("project"):
            raise scope_missing(Scope.PROJECT_READ)
        user = await uow.users.get(caller.user_id)
        added = await uow.invitations.unopened(caller.user_id)
        known = {row["project_id"] for row in added} | set(await uow.projects.roles_of_user(caller.user_id))
        invited = await uow.invitations.of_address(user.email) if _is_verified(user) else []
        return [*added, *(row for row in invited if row["project_id"] not in known)]

    async def opened(self, uow: ReadUnitOfWork, caller: Caller, request: PageRequest) -> Page:
        """Projects the caller is in and has opened, whatever else they may see."""
        return await uow.projects.page(request, of_user=caller.user_id, opened=True)

    async def accept(self, uow: UnitOfWork, caller: Caller, project_id: int) -> Project:
        """Open a project: from now on its managers know who the caller is. Nothing changes when it is open already.

        Raises:
            ParcelaError: ``not_found`` without an invitation.
        """
        _check_joining(caller, project_id)
        project = await uow.projects.lock(project_id)  # before members and invitations, as managers do
        member = await uow.projects.member(project_id, caller.user_id)
        invitation = await self._own(uow, caller, project_id)
        if member is None:
            if invitation is None or invitation.declined_at:
                raise not_found("project", project_id)
            member = ProjectMember(
                project_id=project_id, user_id=caller.user_id, role=invitation.role, created_at=uow.clock()
            )
            await uow.projects.add_member(member)
        if invitation is not None:
            await uow.invitations.delete(invitation)
        await joined(uow, caller, project, member)
        return project

    async def decline(self, uow: UnitOfWork, caller: Caller, project_id: int) -> None:
        """Refuse an invitation, or being added; the managers are not told.

        Raises:
            ParcelaError: ``conflict`` ``project_open`` when the project is open already: leave it then.
        """
        _check_joining(caller, project_id)
        project = await uow.projects.lock(project_id)
        member = await uow.projects.member(project_id, caller.user_id)
        if member is not None and member.opened_at is not None:
            raise conflict("project_open", "You have opened this project; leave it instead.")
        invitation = await self._own(uow, caller, project_id)
        if member is None and (invitation is None or invitation.declined_at):
            raise not_found("project", project_id)
        if invitation is not None:
            invitation.declined_at = uow.clock()
        if member is not None:
            await note_member(uow, "project.member_removed", caller, project, member)
            await uow.projects.remove_member(member)

    async def confirm(self, uow: UnitOfWork, caller: Caller, token: str) -> None:
        """Believe that the caller has the address of their account: they know the token of a mail that went there.

        Raises:
            ParcelaError: ``invalid`` ``invitation_token_invalid``, also when the mail went to another address.
        """
        caller.require_scope(Scope.PROJECT_JOIN)
        good = token.isascii() and len(token) <= MAX_TOKEN_CHARS
        invitation = await uow.invitations.by_token(hash_token(token)) if good else None
        user = await uow.users.lock(caller.user_id)
        if invitation is None or invitation.email != user.email:
            text = "This link has run out, was withdrawn, or went to another address than that of your account."
            raise invalid("invitation_token_invalid", text, Problem("token", text, "invitation_token_invalid"))
        user.verified_email = user.email
        uow.note("user.email_verified", noun="user", noun_id=str(user.id), facts={"by": "invitation"})

    @staticmethod
    async def _own(uow: UnitOfWork, caller: Caller, project_id: int) -> ProjectInvitation | None:
        """The living invitation of the caller's verified address, locked."""
        user = await uow.users.get(caller.user_id)
        row = await uow.invitations.by_address(project_id, user.email) if _is_verified(user) else None
        return row if row is not None and not row.withdrawn_at and row.expires_at > uow.clock() else None


def _is_verified(user: User) -> bool:
    return user.is_active and user.verified_email == user.email


def _check_joining(caller: Caller, project_id: int) -> None:
    """Raise ``not_found`` to a token that knows of no projects, and ``forbidden`` to one that may only look at them."""
    if not caller.reaches("project"):
        raise not_found("project", project_id)
    caller.require_scope(Scope.PROJECT_JOIN)
