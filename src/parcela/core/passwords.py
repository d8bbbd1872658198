"""Password rules, and password hashing: bcrypt through pwdlib, on threads of its own."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources

from pwdlib import PasswordHash
from pwdlib.hashers.bcrypt import BcryptHasher

from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid

MAX_PASSWORD_BYTES = 72
MIN_PASSWORD_CHARS = 8
LOWEST_PRIORITY = 19
MIN_DIFFERENT = 4
"""Different characters at least: ``aaaaaaaa`` and ``12121212`` are no passwords."""


def check_password_rules(password: str, where: str = "password", *, min_chars: int = MIN_PASSWORD_CHARS) -> None:
    """Raise ``invalid`` when bcrypt cannot take the password or it is too short.

    bcrypt 5 refuses more than 72 *bytes* of UTF-8 (accents take two); older versions cut silently, which is worse.
    """
    data = _utf8(password)
    if data is None or b"\x00" in data:
        raise _broken_rule(where, "password_invalid", "A password is text in UTF-8 without NUL characters.")
    if len(data) > MAX_PASSWORD_BYTES:
        text = (
            f"A password has at most {MAX_PASSWORD_BYTES} bytes in UTF-8 (accents take two); this one has {len(data)}."
        )
        raise _broken_rule(where, "password_too_long", text)
    if len(password) < min_chars:
        raise _broken_rule(where, "password_too_short", f"A password has at least {min_chars} characters.")


def common_passwords() -> frozenset[str]:
    """The passwords everybody tries first, in lower case."""
    text = (resources.files("parcela.core") / "common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def _core(text: str) -> str:
    """A text in lower case without the digits and signs at its ends: ``Ana2031!`` is ``ana``."""
    folded = text.casefold()
    inside = [place for place, character in enumerate(folded) if character.isalpha()]
    return folded[inside[0] : inside[-1] + 1] if inside else ""


def _letters(text: str) -> str:
    """The letters of a text alone, in lower case."""
    return "".join(character for character in text.casefold() if character.isalpha())


@dataclass(frozen=True)
class PasswordPolicy:
    """What a new password must be like. Passwords that are in use already are never judged again.

    Attributes:
        min_chars: length at least, 8 or more.
        common: passwords that nobody may have, in lower case.
    """

    min_chars: int = MIN_PASSWORD_CHARS
    common: frozenset[str] = field(default_factory=common_passwords, repr=False)

    def check(self, password: str, where: str = "password", about: Iterable[str] = ()) -> None:
        """Raise ``invalid`` when the password breaks a rule.

        Args:
            password: the new one.
            where: place of the value in the request.
            about: what is known of its owner (username, e-mail address, name), which it must not be.
        """
        check_password_rules(password, where, min_chars=self.min_chars)
        if len(set(password.casefold())) < MIN_DIFFERENT or {password.casefold(), _core(password)} & self.common:
            text = "This password is one of those that are guessed first; choose several words, for example."
            raise _broken_rule(where, "password_common", text)
        own = {_letters(word) for known in about for word in (known, known.partition("@")[0])} - {""}
        if password.casefold() in {known.casefold() for known in about} or _letters(password) in own:
            text = "A password must not be your own name, username or e-mail address, nor that with digits or signs."
            raise _broken_rule(where, "password_is_name", text)


def _utf8(password: str) -> bytes | None:
    """The bytes, or None for a lone surrogate, which JSON can carry and UTF-8 cannot."""
    try:
        return password.encode()
    except UnicodeEncodeError:
        return None


def _broken_rule(where: str, code: str, text: str) -> ParcelaError:
    return invalid(code, text, Problem(where, text, code))


class Lane(StrEnum):
    """Whose passwords are hashed: each has threads of its own, so strangers never take the last one from the others."""

    KNOWN = "known"
    STRANGERS = "strangers"


NICENESS = {Lane.KNOWN: 10, Lane.STRANGERS: 15}
"""Added to that of the process."""
MOST_KNOWN_WAITING = 1000
LONGEST_WAIT_S = 20.0
BUSY_S = 5
"""What is told to those that find a lane full."""


class _Line:
    """The threads of one lane, and who waits for them."""

    def __init__(self, lane: Lane, threads: int, most_waiting: int) -> None:
        self.pool = ThreadPoolExecutor(
            threads, f"bcrypt-{lane.value}", initializer=_let_others_go_first, initargs=(NICENESS[lane],)
        )
        # What waits here has cost nothing yet and sees the delays that were set meanwhile, so a flood of guesses costs
        # a few hashes at most. One more than threads: none of them idles while another asks the database.
        self.slots = asyncio.Semaphore(threads + 1)
        self.most_waiting = most_waiting
        self.waiting = 0


def _busy() -> ParcelaError:
    text = f"Too many people are signing in just now; try again in {BUSY_S} seconds."
    return ParcelaError(ErrorKind.RATE_LIMITED, "sign_in_busy", text, retry_after_s=BUSY_S)


def _let_others_go_first(added: int) -> None:
    """Lower the priority of this thread (Linux has one per thread), not of the process.

    As many threads as processors hash at full speed while nobody else wants the processors; the event loop's thread,
    which needs one for moments only, need not wait until a hashing thread's turn is over.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + added
        os.setpriority(os.PRIO_PROCESS, thread, min(LOWEST_PRIORITY, niceness))  # only root may go the other way


class PasswordHasher:
    """bcrypt off the event loop.

    A pool of one thread per core and lane: bcrypt releases the GIL, more threads only queue inside, and the default
    executor must stay free for others. While both lanes are busy the processors prefer the known one.
    """

    def __init__(self, rounds: int = 12, *, strangers_waiting: int = 100) -> None:
        """Use ``2**rounds`` iterations (4..31; 12 takes about a quarter of a second).

        ``strangers_waiting``: how many of the lane of strangers may wait for their turn.
        """
        self.threads = os.cpu_count() or 1
        self._hash = PasswordHash((BcryptHasher(rounds=rounds),))
        self._lines = {
            Lane.KNOWN: _Line(Lane.KNOWN, self.threads, MOST_KNOWN_WAITING),
            Lane.STRANGERS: _Line(Lane.STRANGERS, self.threads, strangers_waiting),
        }
        # Well-formed and of the same cost, but the hash of nothing known; computing a real one would delay every start.
        self._dummy = f"$2b${rounds:02d}${'.' * 53}"

    @asynccontextmanager
    async def turn(self, lane: Lane) -> AsyncIterator[bool]:
        """Wait for a place in a lane; gives whether there was none at once.

        Raises:
            ParcelaError: ``rate_limited`` with code ``sign_in_busy`` when too many wait, or it took too long.
        """
        line = self._lines[lane]
        is_full = line.slots.locked()
        if is_full and line.waiting >= line.most_waiting:
            raise _busy()
        line.waiting += 1
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                await line.slots.acquire()
        except TimeoutError as exc:
            raise _busy() from exc
        finally:
            line.waiting -= 1
        try:
            yield is_full
        finally:
            line.slots.release()

    async def hash(self, password: str, lane: Lane = Lane.KNOWN) -> str:
        """Hash of a password that follows the rules, else ``invalid``."""
        check_password_rules(password)
        return await asyncio.get_running_loop().run_in_executor(self._lines[lane].pool, self._hash.hash, password)

    async def verify(self, password: str, hashed: str | None, lane: Lane = Lane.KNOWN) -> bool:
        """Whether the password fits; takes the same time when there is no hash (an unknown account)."""
        data = _utf8(password)
        if data is None or len(data) > MAX_PASSWORD_BYTES or b"\x00" in data:
            password, hashed = "x", None  # no stored password can be that; still spend the time
        target = hashed or self._dummy
        pool = self._lines[lane].pool
        fits = await asyncio.get_running_loop().run_in_executor(pool, self._hash.verify, password, target)
        return fits and hashed is not None

    def close(self) -> None:
        """Let the threads end."""
        for line in self._lines.values():
            line.pool.shutdown(wait=False, cancel_futures=True)
