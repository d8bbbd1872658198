"""A private PostgreSQL."""

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.lab.service import CannotStartError, Service, find_program, free_port, give_to, own_user

# Nothing here outlives the lab, so nothing needs to reach a disk.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "listen_addresses": "127.0.0.1",
}


class Postgres(Service):
    """The newest installed PostgreSQL; its user `parcela` is a superuser and needs no password."""

    name: ClassVar[str] = "postgres"
    # SIGQUIT is the immediate shutdown.
    stop_signal: ClassVar[signal.Signals] = signal.SIGQUIT

    def start(self) -> Mapping[str, str]:
        """Initialise a cluster and start it."""
        binaries = _newest_binaries()
        user = own_user("postgres")
        give_to(self.folder, user)
        data = str(self.folder / "data")
        self.run(
            f"{binaries}/initdb",
            *("--pgdata", data, "--username", "parcela", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            user=user,
        )
        port = free_port()
        settings = {**SETTINGS, "port": str(port), "unix_socket_directories": str(self.folder)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.spawn(f"{binaries}/postgres", "-D", data, *options, user=user)
        ready = [f"{binaries}/pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
        self.wait_until(lambda: subprocess.run(ready, check=False).returncode == 0)
        self.run(f"{binaries}/createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "parcela", "parcela", user=user)
        return {"PARCELA_TEST_POSTGRES_URL": f"postgresql+asyncpg://parcela@127.0.0.1:{port}/parcela"}


def _newest_binaries() -> Path:
    """Return the folder of the newest server; Debian keeps one per major version, off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    try:
        return Path(find_program("initdb")).resolve().parent
    except CannotStartError:
        raise CannotStartError("PostgreSQL's server is not installed") from None
