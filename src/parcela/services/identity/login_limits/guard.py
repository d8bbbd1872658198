"""What every check of a secret goes through: limits on guessing, hashing off the loop, transactions that repeat."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid
from parcela.core.origin import current_origin
from parcela.core.passwords import Lane, PasswordHasher, PasswordPolicy
from parcela.core.settings import Settings
from parcela.db.constraints import is_transient
from parcela.models import User
from parcela.repositories.uow import UnitOfWork, UnitOfWorkFactory
from parcela.services.access import Caller
from parcela.services.identity.login_limits.attempts import Attempt, KnownOrigins, own_key
from parcela.services.identity.login_limits.throttles import ADDRESS, LoginThrottles, clean_identifier
from parcela.services.identity.sessions import Origin
from parcela.services.observability.refusals import Refusals

ResultT = TypeVar("ResultT")
REPEATS = 4


class LoginGuard:
    """Checks passwords.

    Opens units of work of its own: on SQLite an open write unit of work holds the one writer lock, which must not be
    held while hashing, and a failure must be counted although the answer is an error.
    """

    def __init__(
        self,
        uows: UnitOfWorkFactory,
        hasher: PasswordHasher,
        origins: KnownOrigins,
        settings: Settings,
        refusals: Refusals | None = None,
    ) -> None:
        """Take the collaborators, the limits, and where failures are counted."""
        self._refusals = refusals or Refusals(uows)
        self.uows = uows
        self.hasher = hasher
        self.origins = origins
        self.policy = PasswordPolicy(settings.password_min_chars)
        self.throttles = LoginThrottles(settings)

    async def verify(self, identifier: str, password: str, origin: Origin) -> Attempt | None:
        """The attempt of somebody whose password fits, else None; a failure is counted.

        Takes the same time when there is no such account.

        Raises:
            ParcelaError: ``rate_limited`` while attempts like this one are delayed, or when too many wait.
        """
        name = clean_identifier(identifier)
        async with self.uows.read() as uow:
            user = await uow.users.by_identifier(name)
            attempt = await self.origins.attempt(uow, user, identifier, origin)
            await self.throttles.check(uow, attempt.keys)
        fits = await self._fits(password, user, attempt.keys, attempt.lane, origin.address)
        return attempt if fits else None

    async def verify_own(self, caller: Caller, password: str, where: str, text: str) -> User:
        """The caller's account, when the password is theirs; an account without one (single sign-on only) needs none.

        Failures are counted for this session alone: nobody else can use its attempts up.

        Raises:
            ParcelaError: ``invalid`` with code ``wrong_password``; ``rate_limited`` while further ones are delayed.
        """
        keys = [own_key("own", caller)]
        async with self.uows.read() as uow:
            user = await uow.users.get(caller.user_id)
            await self.throttles.check(uow, keys)
        if not user.password_hash or await self._fits(password, user, keys, Lane.KNOWN, ""):
            return user
        raise invalid("wrong_password", text, Problem(where, text, "wrong_password"))

    async def hash_for_stranger(self, password: str) -> str:
        """Hash of a new password of somebody who is not signed in, when it is their turn."""
        async with self.hasher.turn(Lane.STRANGERS):
            return await self.hasher.hash(password, Lane.STRANGERS)

    async def _fits(self, password: str, user: User | None, keys: Sequence[str], lane: Lane, address: str) -> bool:
        """Whether the password is the user's. A failure is counted before somebody else has the turn."""
        async with self.hasher.turn(lane) as has_waited:
            if has_waited:  # others have failed meanwhile
                async with self.uows.read() as uow:
                    await self.throttles.check(uow, keys)
            if await self.hasher.verify(password, user.password_hash if user else None, lane):
                return True
            await self._count_failure(keys, user, address)
            return False

    async def _count_failure(self, keys: Sequence[str], user: User | None, address: str) -> None:
        """Count a failure; raises when attempts at the same time had begun a delay before."""
        refusal = await self.repeat(partial(self.write_failure, keys, user, address))
        if refusal is not None:
            raise refusal

    async def write_failure(
        self, keys: Sequence[str], user: User | None, address: str, uow: UnitOfWork
    ) -> ParcelaError | None:
        """The same inside a unit of work, which must be committed; the error is returned."""
        delayed, refusal = await self.throttles.count_failure(uow, keys)
        # What was typed as a name is not kept: now and then it is somebody's password.
        known = {"noun_id": str(user.id), "noun_name": user.username} if user else {}
        kind, is_first = self._refusals.judge(current_origin(), "auth.refused", "login", known.get("noun_id", ""))
        uow.after_commit(lambda: self._refusals.count(kind))
        if is_first:
            uow.note("auth.refused", outcome="refused", noun="user", **known)
        for key in delayed:
            by = "address" if ADDRESS in key else "account"
            facts = {"by": by, "address": address, "user_id": user.id if user else None}
            uow.add_event("auth.locked", owner_id=None, data=facts)
        return refusal

    async def repeat(self, work: Callable[[UnitOfWork], Awaitable[ResultT]]) -> ResultT:
        """Run ``work`` in a unit of work and commit; all of it again when the database asks for that (deadlock)."""
        for repeats_left in reversed(range(REPEATS)):
            try:
                async with self.uows.write() as uow:
                    result = await work(uow)
                    await uow.commit()
                    return result
            except Exception as exc:
                if not repeats_left or not is_transient(exc):
                    raise
        raise AssertionError("unreachable")


async def lock_user(uow: UnitOfWork, user_id: int) -> User | None:
    """The user, fresh and locked; None when they were deleted meanwhile."""
    try:
        return await uow.users.lock(user_id)
    except ParcelaError as exc:
        if exc.kind is ErrorKind.NOT_FOUND:
            return None
        raise
