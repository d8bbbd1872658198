"""What ``parcela login`` keeps: ``$PARCELA_CONFIG`` or ``~/.config/parcela/cli.json``, readable by its owner only.

    {"current": "http://lab:8000",
     "servers": {"http://lab:8000": {"email": "...", "access_token": "...", "refresh_token": "..."}}}

Tokens are kept per server and never sent to another one.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from parcela.cli.exits import Exit, fail

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Login:
    """A session on one server."""

    email: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Saved:
    """Content of the file."""

    current: str | None = None
    servers: Mapping[str, Login] = field(default_factory=dict)


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the file is."""
    if given := environ.get("PARCELA_CONFIG"):
        return Path(given)
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    return Path(base) / "parcela" / "cli.json"


def normal_url(text: str) -> str:
    """Address of a server in one spelling: no slash at the end, ``http://`` when no scheme is given.

    Raises:
        CliError: exit code USAGE when it is no address.
    """
    url = text.strip()
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.query or parts.fragment)
        _ = parts.port  # raises for a bad one
    except ValueError:
        usable = False
    if not usable or " " in url:
        raise fail(Exit.USAGE, "bad_url", f"'{text}' is no address of a server; try {DEFAULT_URL}.")
    return url.rstrip("/").removesuffix("/api/v1")


class CredentialFile:
    """Reads and replaces the file; a lock beside it lets only one process change it at a time."""

    def __init__(self, path: Path) -> None:
        """Take its path; nothing is made before the first write."""
        self.path = path

    def read(self) -> Saved:
        """What is saved; nothing when there is no file.

        Raises:
            CliError: the file cannot be read or is damaged.
        """
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
            servers = {str(url): Login(**login) for url, login in raw["servers"].items()}
            return Saved(raw.get("current"), servers)
        except FileNotFoundError:
            return Saved()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            text = f"{self.path} cannot be read or is damaged ({error}); remove it and run 'parcela login'."
            raise fail(Exit.UNEXPECTED, "config_damaged", text) from error

    def write(self, saved: Saved) -> None:
        """Replace the file in one step; nobody but the owner can read it at any moment."""
        document = {"current": saved.current, "servers": {url: asdict(login) for url, login in saved.servers.items()}}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(document, stream, indent=1)
            temporary.replace(self.path)
        except OSError as error:
            raise fail(Exit.UNEXPECTED, "config_not_written", f"{self.path} cannot be written: {error}") from error

    def keep(self, url: str, login: Login) -> None:
        """Save a session and make its server the current one."""
        with self.locked():
            saved = self.read()
            self.write(Saved(url, {**saved.servers, url: login}))

    def replace(self, url: str, login: Login) -> None:
        """Save new tokens of a session; the caller holds the lock."""
        saved = self.read()
        self.write(Saved(saved.current, {**saved.servers, url: login}))

    def forget(self, url: str) -> None:
        """Remove a session."""
        with self.locked():
            saved = self.read()
            rest = {other: login for other, login in saved.servers.items() if other != url}
            self.write(Saved(saved.current if saved.current in rest else next(iter(rest), None), rest))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock: a refresh token works once, so two commands must not use the same one."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise fail(Exit.UNEXPECTED, "config_not_written", f"{lock} cannot be made: {error}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
