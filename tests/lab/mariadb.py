"""A private MariaDB."""

import signal
import subprocess
from collections.abc import Mapping
from typing import ClassVar

from tests.lab.service import Service, find_program, free_port, give_to, own_user

PASSWORD = "parcela"
GRANTS = f"""\
CREATE DATABASE parcela;
CREATE USER parcela@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO parcela@'127.0.0.1' WITH GRANT OPTION;
"""


class MariaDB(Service):
    """MariaDB with Debian's character set; its user `parcela` may do everything."""

    name: ClassVar[str] = "mariadb"
    # A clean shutdown takes seconds and saves data that is thrown away.
    stop_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def start(self) -> Mapping[str, str]:
        """Install the system tables and start it."""
        server = find_program("mariadbd")
        user = own_user("mysql")
        give_to(self.folder, user)
        data = f"--datadir={self.folder / 'data'}"
        self.run(
            find_program("mariadb-install-db"),
            *("--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"),
            *([f"--user={user}"] if user else []),
        )
        grants = self.folder / "grants.sql"
        grants.write_text(GRANTS, encoding="utf-8")
        port = free_port()
        # Names of temporary tables are made of process ids, which two labs share, each in its own namespace: in one
        # folder they delete each other's.
        temporary = self.folder / "tmp"
        temporary.mkdir()
        give_to(temporary, user)
        self.spawn(
            server,
            *(
                "--no-defaults",
                f"--tmpdir={temporary}",
                data,
                f"--port={port}",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
            ),
            *(f"--socket={self.folder / 'mariadb.sock'}", f"--pid-file={self.folder / 'mariadb.pid'}"),
            *(f"--init-file={grants}", "--max-connections=300"),
            *("--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--skip-log-bin"),
            user=user,
        )
        ping = [
            find_program("mariadb-admin"),
            *("--no-defaults", "--silent", "--host=127.0.0.1", f"--port={port}", "--user=parcela"),
            *(f"--password={PASSWORD}", "ping"),
        ]
        self.wait_until(lambda: subprocess.run(ping, check=False, capture_output=True).returncode == 0)
        return {"PARCELA_TEST_MARIADB_URL": f"mysql+aiomysql://parcela:{PASSWORD}@127.0.0.1:{port}/parcela"}
