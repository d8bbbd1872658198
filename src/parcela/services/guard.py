"""What every check of a secret goes through: limits on guessing, hashing off the loop, transactions that repeat."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid
from parcela.core.passwords import PasswordHasher, PasswordPolicy
from parcela.core.settings import Settings
from parcela.db.constraints import is_transient
from parcela.models import User
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork, UnitOfWorkFactory
from parcela.services.throttle import ACCOUNT, LoginThrottles, account_key

ResultT = TypeVar("ResultT")
REPEATS = 4


class LoginGuard:
    """Checks passwords.

    Opens units of work of its own: on SQLite an open write unit of work holds the one writer lock, which must not be
    held while hashing, and a failure must be counted although the answer is an error.
    """

    def __init__(self, uows: UnitOfWorkFactory, hasher: PasswordHasher, settings: Settings) -> None:
        """Take the collaborators and the limits."""
        self.uows = uows
        self.hasher = hasher
        self.policy = PasswordPolicy(settings.password_min_chars)
        self.throttles = LoginThrottles(settings)
        # Whoever waits here has cost nothing yet and sees the locks that were set meanwhile, so a flood of guesses
        # costs a few hashes at most. One more than threads: none of them idles while another asks the database.
        self._slots = asyncio.Semaphore(hasher.threads + 1)

    async def verify(
        self,
        keys: Sequence[str],
        load: Callable[[ReadUnitOfWork], Awaitable[User | None]],
        password: str,
        address: str,
    ) -> User | None:
        """The user that ``load`` finds when the password fits, else None; a failure is counted.

        Takes the same time when there is no user.

        Raises:
            ParcelaError: ``rate_limited`` when one of the keys is locked.
        """
        async with self._slots:
            async with self.uows.read() as uow:
                await self.throttles.check(uow, keys)
                user = await load(uow)
            if await self.hasher.verify(password, user.password_hash if user else None):
                return user
            await self._count_failure(keys, user, address)
            return None

    async def verify_own(self, user_id: int, password: str, where: str, text: str) -> User:
        """The user, when the password is theirs; whoever has none (single sign-on only) needs none.

        Raises:
            ParcelaError: ``invalid`` with code ``wrong_password``; counts as a failed login.
        """
        async with self.uows.read() as uow:
            known = await uow.users.get(user_id)
        if not known.password_hash:
            return known
        user = await self.verify([account_key(known.username)], lambda uow: uow.users.get(user_id), password, "")
        if user is None:
            raise invalid("wrong_password", text, Problem(where, text, "wrong_password"))
        return user

    async def _count_failure(self, keys: Sequence[str], user: User | None, address: str) -> None:
        """Count a failure; raises when attempts at the same time had locked the account or address before."""
        refusal = await self.repeat(partial(self.write_failure, keys, user, address))
        if refusal is not None:
            raise refusal

    async def write_failure(
        self, keys: Sequence[str], user: User | None, address: str, uow: UnitOfWork
    ) -> ParcelaError | None:
        """The same inside a unit of work, which must be committed; the error is returned."""
        locked, refusal = await self.throttles.count_failure(uow, keys)
        # What was typed as a name is not kept: now and then it is somebody's password.
        known = {"noun_id": str(user.id), "noun_name": user.username} if user else {}
        uow.note("auth.refused", outcome="refused", noun="user", **known)
        for key in locked:
            by = "account" if key.startswith(ACCOUNT) else "address"
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
