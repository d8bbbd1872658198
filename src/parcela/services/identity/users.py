"""Users: who may log in, with which role. Nobody makes somebody more powerful than themselves."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from email_validator import EmailNotValidError, validate_email

from parcela.core.errors import Problem, conflict, forbidden, invalid, not_found
from parcela.core.passwords import PasswordHasher, PasswordPolicy
from parcela.core.permissions import CLIENT_ROLE, Permission
from parcela.core.scopes import Scope
from parcela.models import Role, User
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.repositories.users import UserRecord
from parcela.services.access import SYSTEM, Caller, check_visible
from parcela.services.changes import assign
from parcela.services.identity.revoking import revoke_access
from parcela.services.identity.roles import check_administrators_left, check_within_rights
from parcela.services.identity.unfinished import make_way

USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
MAX_EMAIL = 254
LOCALES = frozenset({"en", "es"})
REVOKING = frozenset({"password_hash", "email", "is_active"})
"""Fields whose change ends all sessions and tokens. Also a reactivation: nothing from before it comes back to life."""
# Labs use names like admin@lab.local, which the validator refuses as "special use"; inside another domain it judges
# only their syntax.
_OUTER_DOMAIN = ".example.com"


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be created; ``password_hash`` comes from ``UserService.hash_password``."""

    email: str
    username: str
    password_hash: str
    full_name: str = ""
    role: str = CLIENT_ROLE
    is_superuser: bool = False
    is_active: bool = True
    locale: str = "en"
    self_registered: bool = False


@dataclass(frozen=True, slots=True)
class UserChanges:
    """What to change in a user; None leaves a field as it is."""

    email: str | None = None
    username: str | None = None
    password_hash: str | None = None
    full_name: str | None = None
    role: str | None = None
    is_superuser: bool | None = None
    is_active: bool | None = None
    locale: str | None = None


def clean_email(text: str) -> str:
    """An e-mail address in lower case and ASCII; ``invalid`` when it is none. Nothing is looked up."""
    try:
        checked = validate_email(
            text.strip() + _OUTER_DOMAIN, check_deliverability=False, allow_smtputf8=False, strict=True
        )
    except EmailNotValidError as exc:
        raise _bad_field("email", "email_invalid", f"This is no e-mail address: {exc}") from exc
    email = str(checked.ascii_email).removesuffix(_OUTER_DOMAIN).lower()
    if len(email) > MAX_EMAIL:
        raise _bad_field("email", "email_invalid", f"An e-mail address has at most {MAX_EMAIL} characters.")
    return email


def clean_username(text: str) -> str:
    """A username in lower case; ``invalid`` when it is none."""
    username = text.strip().lower()
    if not USERNAME.fullmatch(username):
        sentence = (
            "A username has 2 to 64 of the characters a-z, 0-9, '.', '_' and '-' and begins with a letter or digit."
        )
        raise _bad_field("username", "username_invalid", sentence)
    return username


def _clean_locale(text: str) -> str:
    if text not in LOCALES:
        raise _bad_field("locale", "locale_unknown", f"Possible languages are {', '.join(sorted(LOCALES))}.")
    return text


def _bad_field(where: str, code: str, sentence: str) -> Exception:
    return invalid(code, sentence, Problem(where, sentence, code))


def _check_superuser(caller: Caller) -> None:
    if not (caller.is_superuser and (caller.scopes is None or "*" in caller.scopes)):
        raise forbidden("superuser_only", "Only a superuser may do this to or for a superuser.")


class UserService:
    """Business rules of users."""

    def __init__(self, hasher: PasswordHasher, policy: PasswordPolicy | None = None) -> None:
        """Take the hasher and the rules for new passwords."""
        self._hasher = hasher
        self._policy = policy or PasswordPolicy()

    async def hash_password(self, password: str, where: str = "password", about: Sequence[str] = ()) -> str:
        """Hash of a new password. Call it before a unit of work is open: it takes a quarter of a second.

        Args:
            password: the new one.
            where: place of the value in the request.
            about: names of its owner, which it must not be.
        """
        self._policy.check(password, where, about)
        return await self._hasher.hash(password)

    async def names(self, uow: ReadUnitOfWork, user_id: int) -> list[str]:
        """What a password of this user must not be; nothing for a user that is not there."""
        record = await uow.users.record(user_id)
        return [] if record is None else [record.email, record.username, record.full_name]

    async def get(self, uow: ReadUnitOfWork, caller: Caller, user_id: int) -> UserRecord:
        """A user; oneself (a token: with any scope of ``user``), others with ``user:read`` only."""
        check_visible(caller, user_id, Permission.USER_READ, "user", user_id)
        return await self._stored(uow, user_id)

    async def me(self, uow: ReadUnitOfWork, caller: Caller) -> UserRecord:
        """The caller's own user, whatever the scopes of the token are: it says whose token it is."""
        return await self._stored(uow, caller.user_id)

    async def page(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        request: PageRequest,
        *,
        role: str | None = None,
        is_active: bool | None = None,
        prefix: str | None = None,
    ) -> Page:
        """Users of a page (fields of UserRecord); ``prefix``: how address, username or full name begins."""
        caller.require(Permission.USER_READ)
        return await uow.users.page(request, role=role, is_active=is_active, prefix=prefix)

    async def create(self, uow: UnitOfWork, caller: Caller, new: NewUser) -> UserRecord:
        """Make a user with a role whose rights the caller holds; replaces an unfinished registration."""
        caller.require(Permission.USER_WRITE)
        if new.is_superuser:
            _check_superuser(caller)
        role = await self._role(uow, new.role)
        check_within_rights(caller, await uow.roles.permissions(role.id), f"The role '{role.name}'")
        email, username = clean_email(new.email), clean_username(new.username)
        await make_way(uow, email, username)
        user = await uow.users.add(
            User(
                email=email,
                # Who may make accounts vouches for the address; who registers does not.
                verified_email=email if caller.user_id != SYSTEM.user_id else None,
                username=username,
                full_name=new.full_name,
                password_hash=new.password_hash,
                role_id=role.id,
                is_superuser=new.is_superuser,
                is_active=new.is_active,
                locale=_clean_locale(new.locale),
                self_registered=new.self_registered,
                created_at=uow.clock(),
            )
        )
        self._event(uow, "user.created", caller, user, role=role.name)
        return await self._stored(uow, user.id)

    async def get_for_update(self, uow: UnitOfWork, caller: Caller, user_id: int) -> UserRecord:
        """A user that is going to be changed or deleted, locked.

        Raises:
            ParcelaError: ``forbidden`` when the user is more powerful than the caller: whoever may set somebody's
                password or address may become them.
        """
        caller.require(Permission.USER_WRITE)
        return await self.check_power(uow, caller, user_id)

    async def check_power(self, uow: UnitOfWork, caller: Caller, user_id: int) -> UserRecord:
        """The user, locked, when they have no more rights than the caller."""
        await uow.users.lock_administrators()
        await uow.users.lock(user_id)
        record = await self._stored(uow, user_id)
        if record.is_superuser:
            _check_superuser(caller)
        check_within_rights(caller, await uow.roles.permissions(record.role_id), f"The user '{record.username}'")
        return record

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        user_id: int,
        changes: UserChanges,
        check: Callable[[UserRecord], None] = lambda _: None,
    ) -> UserRecord:
        """Change a user; their next request is judged by the new facts. ``check`` sees the locked user first.

        Another password, e-mail address or a change of ``is_active`` ends all their sessions and tokens. Role and
        superuser need not: every request, stream and console is judged by the rights of its moment.
        """
        check(await self.get_for_update(uow, caller, user_id))
        if changes.is_superuser:
            _check_superuser(caller)
        values = await self._values(uow, caller, changes)
        await make_way(uow, values.get("email"), values.get("username"), except_id=user_id)
        user = await uow.users.get(user_id)
        if changes.email is not None:
            values["verified_email"] = values["email"]
        changed = {name for name, value in values.items() if getattr(user, name) != value}
        if not changed:
            return await self._stored(uow, user_id)
        assign(user, values)
        await check_administrators_left(uow)
        if changed & REVOKING:
            await revoke_access(uow, user)
        self._event(uow, "user.updated", caller, user, changed=sorted(values.keys() - {"verified_email"}))
        return await self._stored(uow, user_id)

    async def me_for_update(self, uow: UnitOfWork, caller: Caller) -> UserRecord:
        """The caller's own user, locked."""
        caller.require_scope(Scope.USER_UPDATE)
        await uow.users.lock(caller.user_id)
        return await self._stored(uow, caller.user_id)

    async def update_me(
        self,
        uow: UnitOfWork,
        caller: Caller,
        *,
        full_name: str | None = None,
        locale: str | None = None,
        check: Callable[[UserRecord], None] = lambda _: None,
    ) -> UserRecord:
        """Change what everybody may change of themselves. ``check`` sees the locked user first."""
        check(await self.me_for_update(uow, caller))
        user = await uow.users.get(caller.user_id)
        values = {
            "full_name": user.full_name if full_name is None else full_name,
            "locale": user.locale if locale is None else _clean_locale(locale),
        }
        if assign(user, values):
            await uow.flush()  # the answer is read back
            self._event(uow, "user.updated", caller, user, changed=["profile"])
        return await self._stored(uow, caller.user_id)

    async def delete(
        self, uow: UnitOfWork, caller: Caller, user_id: int, check: Callable[[UserRecord], None] = lambda _: None
    ) -> None:
        """Remove a user who owns nothing any more, with their tokens and the history of what they once owned."""
        check(await self.get_for_update(uow, caller, user_id))
        if await uow.users.lock_administrators() == [user_id]:
            raise conflict("last_administrator", "This is the last active administrator; make another one first.")
        owned = await self._owned(uow, user_id)
        if owned:
            text = f"The user still owns {len(owned)} thing(s), listed in 'problems'; remove them first."
            raise conflict("user_owns_things", text, *owned)
        user = await uow.users.get(user_id)
        self._event(uow, "user.deleted", caller, user)
        await uow.users.remove_with_history(user)

    async def _values(self, uow: UnitOfWork, caller: Caller, changes: UserChanges) -> dict[str, Any]:
        """Columns to set."""
        values: dict[str, Any] = {
            "email": None if changes.email is None else clean_email(changes.email),
            "username": None if changes.username is None else clean_username(changes.username),
            "locale": None if changes.locale is None else _clean_locale(changes.locale),
            "password_hash": changes.password_hash,
            "full_name": changes.full_name,
            "is_superuser": changes.is_superuser,
            "is_active": changes.is_active,
        }
        if changes.role is not None:
            role = await self._role(uow, changes.role)
            check_within_rights(caller, await uow.roles.permissions(role.id), f"The role '{role.name}'")
            values["role_id"] = role.id
        return {name: value for name, value in values.items() if value is not None}

    @staticmethod
    async def _role(uow: UnitOfWork, name: str) -> Role:
        # The first clients wrote ADMIN and CLIENT.
        role = await uow.roles.by_name(name) or await uow.roles.by_name(name.lower())
        if role is None:
            raise _bad_field("role", "unknown_role", f"There is no role '{name}'; see GET /roles/.")
        return role

    @staticmethod
    async def _stored(uow: ReadUnitOfWork, user_id: int) -> UserRecord:
        record = await uow.users.record(user_id)
        if record is None:
            raise not_found("user", user_id)
        return record

    @staticmethod
    async def _owned(uow: UnitOfWork, user_id: int) -> list[Problem]:
        """Everything that refers to a user and lives."""
        found = (
            ("virtual_machines", "virtual machine", await uow.vms.names_of_owner(user_id)),
            ("slices", "slice", await uow.slices.names_of_owner(user_id)),
            ("templates", "template", await uow.users.template_names(user_id)),
            ("images", "image", await uow.users.image_names(user_id)),
            ("operations", "running operation", await uow.users.unfinished_operations(user_id)),
        )
        return [
            Problem(f"{where}[{row_id}]", f"The {noun} '{name}' (id {row_id}).", f"owns_{noun.replace(' ', '_')}")
            for where, noun, rows in found
            for row_id, name in rows
        ]

    @staticmethod
    def _event(uow: UnitOfWork, event_type: str, caller: Caller, user: User, **data: Any) -> None:
        facts = {"user_id": user.id, "username": user.username, **data}
        uow.add_event(event_type, actor_id=caller.user_id, owner_id=None, data=facts)
