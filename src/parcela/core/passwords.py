"""Password rules, and password hashing: bcrypt through pwdlib, on threads of its own."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import resources

from pwdlib import PasswordHash
from pwdlib.hashers.bcrypt import BcryptHasher

from parcela.core.errors import ParcelaError, Problem, invalid

MAX_PASSWORD_BYTES = 72
MIN_PASSWORD_CHARS = 8
HASHING_NICENESS = 10
"""Added to that of the process."""
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


def _let_others_go_first() -> None:
    """Lower the priority of this thread (Linux has one per thread), not of the process.

    As many threads as processors hash at full speed while nobody else wants the processors; the event loop's thread,
    which needs one for moments only, need not wait until a hashing thread's turn is over.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + HASHING_NICENESS
        os.setpriority(os.PRIO_PROCESS, thread, min(LOWEST_PRIORITY, niceness))  # only root may go the other way


class PasswordHasher:
    """bcrypt off the event loop.

    An own pool of one thread per core: bcrypt releases the GIL, more threads only queue inside, and the default
    executor must stay free for others.
    """

    def __init__(self, rounds: int = 12) -> None:
        """Use ``2**rounds`` iterations (4..31; 12 takes about a quarter of a second)."""
        self.threads = os.cpu_count() or 1
        self._hash = PasswordHash((BcryptHasher(rounds=rounds),))
        self._pool = ThreadPoolExecutor(
            max_workers=self.threads, thread_name_prefix="bcrypt", initializer=_let_others_go_first
        )
        # Well-formed and of the same cost, but the hash of nothing known; computing a real one would delay every start.
        self._dummy = f"$2b${rounds:02d}${'.' * 53}"

    async def hash(self, password: str) -> str:
        """Hash of a password that follows the rules, else ``invalid``."""
        check_password_rules(password)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hash.hash, password)

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password fits; takes the same time when there is no hash (an unknown account)."""
        data = _utf8(password)
        if data is None or len(data) > MAX_PASSWORD_BYTES or b"\x00" in data:
            password, hashed = "x", None  # no stored password can be that; still spend the time
        target = hashed or self._dummy
        fits = await asyncio.get_running_loop().run_in_executor(self._pool, self._hash.verify, password, target)
        return fits and hashed is not None

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
