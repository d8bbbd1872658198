"""Password hashing: bcrypt through pwdlib, on threads of its own."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from pwdlib import PasswordHash
from pwdlib.hashers.bcrypt import BcryptHasher

from parcela.core.errors import ParcelaError, Problem, invalid

MAX_PASSWORD_BYTES = 72
MIN_PASSWORD_CHARS = 8


def check_password_rules(password: str, where: str = "password") -> None:
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
    if len(password) < MIN_PASSWORD_CHARS:
        raise _broken_rule(where, "password_too_short", f"A password has at least {MIN_PASSWORD_CHARS} characters.")


def _utf8(password: str) -> bytes | None:
    """The bytes, or None for a lone surrogate, which JSON can carry and UTF-8 cannot."""
    try:
        return password.encode()
    except UnicodeEncodeError:
        return None


def _broken_rule(where: str, code: str, text: str) -> ParcelaError:
    return invalid(code, text, Problem(where, text, code))


class PasswordHasher:
    """bcrypt off the event loop.

    An own pool of one thread per core: bcrypt releases the GIL, more threads only queue inside, and the default
    executor must stay free for others.
    """

    def __init__(self, rounds: int = 12) -> None:
        """Use ``2**rounds`` iterations (4..31; 12 takes about a quarter of a second)."""
        self.threads = os.cpu_count() or 1
        self._hash = PasswordHash((BcryptHasher(rounds=rounds),))
        self._pool = ThreadPoolExecutor(max_workers=self.threads, thread_name_prefix="bcrypt")
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
