"""Variables of the four older systems: which of them are read where ours are not set, and why the others are not.

Names that other programs use too (``HOST``, ``PORT``, ``SECRET_KEY`` ...) count only where they cannot be meant for
those: in the file ``.env``, or beside a name that only these systems use.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

from parcela.core.errors import Problem

SIGLAB, CLOUD, VM_API = "siglab", "cloud", "vm_api"
HS256 = "HS256"
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
SECRET_FILE = "secret.key"  # noqa: S105 (name of a file)
SQLITE_FILE = "parcela.db"


@dataclass(frozen=True, slots=True)
class Older:
    """A variable of an older system.

    Attributes:
        name: as it stands in the environment.
        systems: that have it.
        ours: variable of ours that it is read for; "" for none.
        why: why it is not read, as the end of a sentence.
        shared: other programs use this name too.
    """

    name: str
    systems: tuple[str, ...]
    ours: str = ""
    why: str = ""
    shared: bool = False


def _database(system: str, *names: str, shared: bool = False) -> Iterator[Older]:
    yield from (Older(name, (system,), "DATABASE_URL", shared=shared) for name in names)


OLDER: Sequence[Older] = (
    *_database(SIGLAB, "MYSQL_HOST", "MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"),
    Older("MONGO_HOST", (SIGLAB,), "MONGO_URL"),
    Older("MONGO_PORT", (SIGLAB,), "MONGO_URL"),
    Older("MONGO_DATABASE", (SIGLAB,), "MONGO_URL"),
    Older("REDIS_HOST", (SIGLAB,), "REDIS_URL"),
    Older("REDIS_PORT", (SIGLAB,), "REDIS_URL"),
    Older("REDIS_TTL", (SIGLAB,), why="what is kept in Redis is renewed by every write, and has no time to set"),
    Older("SERVER_ID", (SIGLAB,), "PARCELA_SERVER_ID"),
    Older("HOST", (SIGLAB,), "PARCELA_HOST", shared=True),
    Older("PORT", (SIGLAB, VM_API), "PARCELA_PORT", shared=True),
    Older("WORKERS", (SIGLAB,), why="a process is a replica: start several instead", shared=True),
    Older("MAX_CONNECTIONS", (SIGLAB,), why="PARCELA_MAX_CONNECTIONS says how many there may be", shared=True),
    Older("TIMEOUT", (SIGLAB,), why="there is a time for each thing: PARCELA_BODY_TIMEOUT_S and others", shared=True),
    Older("KEEP_ALIVE", (SIGLAB,), why="PARCELA_KEEP_ALIVE_TIMEOUT_S says it", shared=True),
    Older("APP_NAME", (CLOUD,), why="the name of the product is fixed", shared=True),
    Older("JWT_SECRET", (CLOUD,), "PARCELA_SECRET_KEY"),
    Older("JWT_ALG", (CLOUD,), why=f"tokens are always signed with {HS256}"),
    Older("JWT_EXPIRE_MINUTES", (CLOUD,), "PARCELA_ACCESS_TOKEN_TTL_S"),
    Older("COOKIE_NAME", (CLOUD,), why="the names of the cookies are fixed; no client reads them"),
    Older("COOKIE_SECURE", (CLOUD,), why="cookies are Secure whenever the request came by https"),
    Older("COOKIE_SAMESITE", (CLOUD,), why="it is fixed: Lax, and Strict for siglab's"),
    Older("FRIEND_DEPLOY_API_URL", (CLOUD,), why="Parcela builds slices itself"),
    Older("FRIEND_DEPLOY_API_TOKEN", (CLOUD,), why="Parcela builds slices itself"),
    Older("HTTP_CLIENT_TIMEOUT", (CLOUD,), why="no other service is asked"),
    *_database(CLOUD, "DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME", shared=True),
    *_database(VM_API, "POSTGRES_SERVER", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"),
    Older("SECRET_KEY", (VM_API,), "PARCELA_SECRET_KEY", shared=True),
    Older("ALGORITHM", (VM_API,), why=f"tokens are always signed with {HS256}"),
    Older("ACCESS_TOKEN_EXPIRE_MINUTES", (VM_API,), "PARCELA_ACCESS_TOKEN_TTL_S"),
)
BY_NAME: Mapping[str, Older] = {older.name: older for older in OLDER}


@dataclass(frozen=True, slots=True)
class _Server:
    """The variables that name a database server, and what an address needs besides."""

    scheme: str
    host: str
    port: str
    user: str
    password: str
    database: str

    @property
    def names(self) -> tuple[str, ...]:
        return self.host, self.port, self.user, self.password, self.database


DATABASES = (
    _Server("mysql", "MYSQL_HOST", "MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"),
    _Server("postgresql", "POSTGRES_SERVER", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"),
    _Server("mysql", "DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME"),
)


@dataclass
class OlderNames:
    """What the variables of the older systems come to.

    Attributes:
        values: variable of ours -> value; only such as are not set.
        sources: variable of ours -> the older ones it was made of.
        unused: older variable -> why it counts for nothing, as the end of a sentence.
        problems: what stops the start.
    """

    values: dict[str, str] = field(default_factory=dict)
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def take(self, ours: str, value: str, *names: str) -> None:
        """Set a variable of ours."""
        self.values[ours], self.sources[ours] = value, names

    def leave(self, why: str, *names: str) -> None:
        """Say why variables count for nothing."""
        self.unused.update(dict.fromkeys(names, why))


def older_names(environ: Mapping[str, str], in_file: Mapping[str, str], data_dir: Path) -> OlderNames:
    """Read them.

    Args:
        environ: variables of the process; they go before the file.
        in_file: those of ``.env``.
        data_dir: data folder of the installation: what it already has is not exchanged for what a variable names.
    """
    given = {name: value for name, value in {**in_file, **environ}.items() if value}
    found = OlderNames()
    meant = _meant(given, {name for name, value in in_file.items() if value}, found)
    for name in list(meant):
        older = BY_NAME[name]
        agrees = name in {"JWT_ALG", "ALGORITHM"} and meant[name].upper() == HS256
        if older.ours in given:
            found.leave(f"{older.ours} is set", name)
        elif not older.ours and not agrees:
            found.leave(older.why, name)
        if older.ours in given or not older.ours:
            del meant[name]
    _take_database(meant, data_dir, found)
    _take_others(meant, data_dir, found)
    return found


def _meant(given: Mapping[str, str], in_file: set[str], found: OlderNames) -> dict[str, str]:
    """The variables that are meant for us."""
    here = {name: value for name, value in given.items() if name in BY_NAME}
    own = sorted(name for name in here if not BY_NAME[name].shared)
    for name in sorted(here):
        if BY_NAME[name].shared and name not in in_file and not own:
            text = "other programs use this name too; it counts in the file .env, or beside others of the older systems"
            found.leave(text, name)
            del here[name]
    return here


def _take_database(meant: Mapping[str, str], data_dir: Path, found: OlderNames) -> None:
    servers = []
    for server in DATABASES:
        names = [name for name in server.names if name in meant]
        missing = [name for name in (server.host, server.user, server.database) if name not in meant]
        if names and missing:
            found.leave(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing", *names)
        elif names:
            servers.append((server, names))
    if not servers:
        return
    hosts = [server.host for server, _ in servers]
    if len(servers) > 1:
        text = f"{' and '.join(hosts)} name different databases; set DATABASE_URL to say which one is meant."
        found.problems.append(Problem(hosts[0], text, "bad_setting"))
        return
    [(server, names)] = servers
    if (data_dir / SQLITE_FILE).exists():
        text = f"{data_dir / SQLITE_FILE} has the data of this installation; set DATABASE_URL to change the database"
        found.leave(text, *names)
        return
    port = _port(server.port, meant, found)
    login = quote(meant[server.user], safe="")
    if server.password in meant:
        login += f":{quote(meant[server.password], safe='')}"
    address = (
        f"{server.scheme}://{login}@{_host(server.host, meant, found)}{port}/{quote(meant[server.database], safe='')}"
    )
    found.take("DATABASE_URL", address, *names)


def _take_others(meant: Mapping[str, str], data_dir: Path, found: OlderNames) -> None:
    for host, port, database, ours, scheme in (
        ("MONGO_HOST", "MONGO_PORT", "MONGO_DATABASE", "MONGO_URL", "mongodb"),
        ("REDIS_HOST", "REDIS_PORT", "", "REDIS_URL", "redis"),
    ):
        names = [name for name in (host, port, database) if name in meant]
        if host in meant:
            path = quote(meant.get(database, "parcela"), safe="") if database else "0"
            found.take(ours, f"{scheme}://{_host(host, meant, found)}{_port(port, meant, found)}/{path}", *names)
        elif names:
            found.leave(f"{host} is missing", *names)
    secrets = [name for name in ("JWT_SECRET", "SECRET_KEY") if name in meant]
    if secrets and (data_dir / SECRET_FILE).exists():
        text = f"{data_dir / SECRET_FILE} is the key of this installation; set PARCELA_SECRET_KEY to change it"
        found.leave(text, *secrets)
    elif secrets:
        _take_one("PARCELA_SECRET_KEY", secrets, meant, found)
    lives = [name for name in ("JWT_EXPIRE_MINUTES", "ACCESS_TOKEN_EXPIRE_MINUTES") if name in meant]
    if lives and _take_one("PARCELA_ACCESS_TOKEN_TTL_S", lives, meant, found):
        _in_seconds(found, lives[0])
    for name, ours in (("SERVER_ID", "PARCELA_SERVER_ID"), ("HOST", "PARCELA_HOST"), ("PORT", "PARCELA_PORT")):
        if name in meant:
            found.take(ours, meant[name], name)


def _take_one(ours: str, names: Sequence[str], meant: Mapping[str, str], found: OlderNames) -> bool:
    """Take the value of variables of two systems, when they agree."""
    if len({meant[name] for name in names}) > 1:
        text = f"{' and '.join(names)} say different things; set {ours} to say which one is meant."
        found.problems.append(Problem(names[0], text, "bad_setting"))
        return False
    found.take(ours, meant[names[0]], *names)
    return True


def _in_seconds(found: OlderNames, name: str) -> None:
    ours = "PARCELA_ACCESS_TOKEN_TTL_S"
    text = found.values.pop(ours).strip()
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1440:
        found.values[ours] = str(int(text) * 60)
        return
    del found.sources[ours]
    found.problems.append(Problem(name, "It must be a whole number of minutes from 1 to 1440.", "bad_setting"))


def _host(name: str, meant: Mapping[str, str], found: OlderNames) -> str:
    """The host of an address; IPv6 ones in brackets."""
    text = meant[name].strip().strip("[]")
    try:
        return f"[{text}]" if ip_address(text).version == 6 else text
    except ValueError:
        if not HOST_NAME.fullmatch(text):
            what = "It must be the name or the address of a host, without a scheme and without a port."
            found.problems.append(Problem(name, what, "bad_setting"))
        return text


def _port(name: str, meant: Mapping[str, str], found: OlderNames) -> str:
    """``:port`` of an address, "" for the usual one."""
    text = meant.get(name, "").strip()
    if not text:
        return ""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 65535):
        found.problems.append(Problem(name, "It must be a TCP port from 1 to 65535.", "bad_setting"))
    return f":{text}"
