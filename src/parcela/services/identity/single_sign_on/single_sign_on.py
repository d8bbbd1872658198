"""Single sign-on: whom the provider vouches for is one of our accounts, by an earlier link or by a verified address."""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from parcela.core.errors import ErrorKind, ParcelaError, unauthenticated
from parcela.core.permissions import CLIENT_ROLE
from parcela.core.sealing import Sealer
from parcela.core.settings import Settings
from parcela.core.tasks import end
from parcela.models import ExternalIdentity, User
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import SYSTEM
from parcela.services.identity.auth import AuthService, Challenge
from parcela.services.identity.login_limits.guard import LoginGuard, lock_user
from parcela.services.identity.revoking import revoke_access
from parcela.services.identity.sessions import Origin, TokenPair
from parcela.services.identity.single_sign_on.oidc_flow import Claims, Flow, Provider, new_flow, refused
from parcela.services.identity.unfinished import is_unfinished
from parcela.services.identity.users import LOCALES, USERNAME, NewUser, UserService, clean_email
from parcela.services.observability.health import Check

log = structlog.get_logger(__name__)

FLOW_S = 600
PROBED_EVERY = timedelta(minutes=5)
MAX_USERNAME = 64
NAMESAKES = 50
MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who came back from the provider: their session, or the question for a code; and where they wanted to."""

    outcome: TokenPair | Challenge
    target: str


def identity_key(issuer: str, subject: str) -> str:
    """What an identity is found by. Issuers are addresses and hold no line end."""
    return hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()


class SingleSignOnService:
    """Sign-in at the provider of the settings."""

    def __init__(
        self,
        guard: LoginGuard,
        client: Provider | None,
        auth: AuthService,
        users: UserService,
        sealer: Sealer,
        settings: Settings,
    ) -> None:
        """``client`` is None where no provider is configured."""
        self._guard = guard
        self._client = client
        self._auth = auth
        self._users = users
        self._sealer = sealer
        self._settings = settings
        self._probe_at = guard.uows.clock()
        self._task: asyncio.Task[None] | None = None

    @property
    def label(self) -> str:
        """Name of the provider for the sign-in page; "" when there is none."""
        return self._settings.oidc_label if self._client else ""

    async def start(self, redirect_uri: str, target: str) -> tuple[str, str]:
        """(address to send the browser to, box for its cookie).

        Raises:
            ParcelaError: ``unsupported`` when there is no provider, ``unavailable`` when it does not answer.
        """
        flow = new_flow(redirect_uri, target)
        return await self._provider().start_url(flow), self._sealer.seal(asdict(flow), FLOW_S)

    async def finish(self, box: str, answer: Mapping[str, str], origin: Origin) -> Arrival:
        """Open the session of somebody who comes back.

        Args:
            box: of the cookie.
            answer: parameters of the provider's redirect.
            origin: of the browser.

        Raises:
            ParcelaError: ``unauthenticated`` (``oidc_state``, ``oidc_denied``, ``oidc_refused``, ``oidc_unknown``,
                ``oidc_email_unverified``, ``account_disabled``), ``unavailable``.
        """
        client, opened = self._provider(), self._sealer.open(box)
        if not isinstance(opened, dict):
            raise _lost()
        flow = Flow(**opened)
        if not hmac.compare_digest(flow.state.encode(), answer.get("state", "").encode(errors="replace")):
            raise _lost()
        if answer.get("error"):
            log.info("oidc.denied", error=answer["error"][:100])
            raise unauthenticated("oidc_denied", "The identity provider did not let you in.")
        if answer.get("iss", self._settings.oidc_issuer).rstrip("/") != self._settings.oidc_issuer.rstrip("/"):
            raise refused("the answer is of another issuer")
        claims = await client.claims(flow, answer.get("code", ""))
        return Arrival(await self._auth.enter(await self._account(claims), origin), flow.target)

    async def check(self, uow: ReadUnitOfWork) -> Check:
        """The entry of the health page, from what is known: nothing is asked now."""
        del uow
        if self._client is None:
            return Check("single sign-on", "ok", "not configured (PARCELA_OIDC_ISSUER)")
        if self._client.trouble:
            return Check("single sign-on", "down", "the identity provider does not answer; passwords still work")
        return Check("single sign-on", "ok", "configured")

    def probe(self) -> bool:
        """Ask the provider how it is, in the background, every few minutes; whether that was now."""
        now = self._guard.uows.clock()
        if self._client is None or now < self._probe_at or (self._task is not None and not self._task.done()):
            return False
        self._probe_at = now + PROBED_EVERY
        self._task = asyncio.get_running_loop().create_task(self._probe(self._client))
        return True

    async def settle(self) -> None:
        """Wait for a probe under way."""
        if self._task is not None:
            await self._task

    async def aclose(self) -> None:
        """Close all connections."""
        if self._task is not None:
            await end(self._task)
        if self._client is not None:
            await self._client.aclose()

    @staticmethod
    async def _probe(client: Provider) -> None:
        with suppress(ParcelaError):  # it is in the log, and in ``trouble``
            await client.metadata(fresh=True)

    def _provider(self) -> Provider:
        if self._client is None:
            text = "There is no single sign-on here (PARCELA_OIDC_ISSUER); sign in with a password."
            raise ParcelaError(ErrorKind.UNSUPPORTED, "oidc_not_configured", text)
        return self._client

    async def _account(self, claims: Claims) -> User:
        try:
            return await self._guard.repeat(partial(self._found_or_made, claims))
        except ParcelaError as exc:
            if exc.kind is not ErrorKind.CONFLICT:
                raise
            # The same person in another window was faster; now they are known.
            return await self._guard.repeat(partial(self._found_or_made, claims))

    async def _found_or_made(self, claims: Claims, uow: UnitOfWork) -> User:
        issuer, subject = self._settings.oidc_issuer, str(claims["sub"])
        identity = await uow.external_identities.by_key(identity_key(issuer, subject))
        user = await lock_user(uow, identity.user_id) if identity else None
        if identity is None or user is None:
            user = await self._by_address(claims, uow)
            identity = await uow.external_identities.add(
                ExternalIdentity(
                    user_id=user.id,
                    issuer=issuer,
                    subject=subject,
                    key_hash=identity_key(issuer, subject),
                    created_at=uow.clock(),
                )
            )
            facts = {"user_id": user.id, "username": user.username, "issuer": issuer}
            uow.add_event("auth.identity_linked", actor_id=user.id, owner_id=user.id, data=facts)
        identity.last_login_at = uow.clock()
        if self._settings.oidc_roles:
            await self._set_role(claims, user, uow)
        return user

    async def _by_address(self, claims: Claims, uow: UnitOfWork) -> User:
        """The account with the person's address, or a new one; never by an address that is not verified."""
        address = claims.get(self._settings.oidc_email_claim)
        if claims.get("email_verified") is not True or not isinstance(address, str):
            text = (
                "The identity provider does not say that your e-mail address is verified, so no account can be found."
            )
            raise unauthenticated("oidc_email_unverified", text)
        email = clean_email(address)
        user = await uow.users.by_identifier(email)
        if user is None:
            return await self._made(claims, email, uow)
        locked = await uow.users.lock(user.id)
        role = (await uow.roles.get(locked.role_id)).name
        is_own = locked.self_registered or self._settings.registration_open
        if is_own and role == CLIENT_ROLE and not locked.is_superuser:
            # Anybody can register with an address of somebody else. Its owner stands here now, so nothing of whoever
            # that was may stay: neither the password nor an open session. Others were made by an administrator.
            if is_unfinished(locked):  # what a stranger typed is not theirs
                locked.username, locked.full_name = await self._free_username(claims, email, uow), self._name_of(claims)
            locked.password_hash, locked.self_registered = "", False
            await uow.second_factors.remove(user.id)
            await revoke_access(uow, locked)
            facts = {"user_id": user.id, "username": user.username, "by": "identity provider"}
            uow.add_event("user.password_changed", actor_id=user.id, owner_id=user.id, data=facts)
        locked.verified_email = locked.email
        return locked

    async def _made(self, claims: Claims, email: str, uow: UnitOfWork) -> User:
        if not self._settings.oidc_auto_create:
            text = "There is no account with your e-mail address here; ask an administrator for one."
            raise unauthenticated("oidc_unknown", text)
        locale = str(claims.get("locale", ""))[:2]
        new = NewUser(
            email=email,
            username=await self._free_username(claims, email, uow),
            password_hash="",
            full_name=self._name_of(claims),
            role=await self._role_of(claims, uow),
            locale=locale if locale in LOCALES else "en",
        )
        made = await self._users.create(uow, SYSTEM, new)
        user = await uow.users.lock(made.id)
        user.verified_email = user.email  # the provider says so
        return user

    def _name_of(self, claims: Claims) -> str:
        name = str(claims.get(self._settings.oidc_name_claim) or "")
        return "".join(c for c in name if c.isprintable())[:MAX_NAME]

    async def _free_username(self, claims: Claims, email: str, uow: UnitOfWork) -> str:
        """A username that nobody has, near to what the provider calls the person."""
        wished = str(claims.get(self._settings.oidc_username_claim) or email).partition("@")[0].lower()
        base = re.sub(r"[^a-z0-9._-]", "-", wished).lstrip("._-")[: MAX_USERNAME - 3]
        base = base if USERNAME.fullmatch(base) else f"user-{base}".rstrip("-._")
        for number in range(1, NAMESAKES + 1):
            name = base if number == 1 else f"{base}-{number}"
            if await uow.users.by_identifier(name) is None:
                return name
        return f"user-{identity_key(self._settings.oidc_issuer, str(claims['sub']))[:16]}"

    async def _role_of(self, claims: Claims, uow: UnitOfWork) -> str:
        """The role of the first pair of the map whose group the person is in."""
        said: Any = claims.get(self._settings.oidc_role_claim)
        groups = {str(item) for item in said} if isinstance(said, list) else {str(said)}
        for group, role in self._settings.oidc_roles:
            if group in groups:
                if await uow.roles.by_name(role) is not None:
                    return role
                log.error("oidc.unknown_role", group=group, role=role, setting="PARCELA_OIDC_ROLE_MAP")
        return CLIENT_ROLE

    async def _set_role(self, claims: Claims, user: User, uow: UnitOfWork) -> None:
        """Give the role that the provider's groups stand for; superusers and the last administrator keep theirs."""
        name = await self._role_of(claims, uow)
        role = await uow.roles.by_name(name)
        if role is None or role.id == user.role_id or user.is_superuser:
            return
        if await uow.users.lock_administrators() == [user.id]:
            log.warning("oidc.last_administrator", user_id=user.id, role=name)
            return
        user.role_id = role.id
        facts = {"user_id": user.id, "username": user.username, "changed": ["role"], "role": name}
        uow.add_event("user.updated", actor_id=None, owner_id=None, data=facts)


def _lost() -> ParcelaError:
    text = "This sign-in did not begin in this browser, or took too long; begin again."
    return unauthenticated("oidc_state", text)
