"""``parcela serve`` with the variables of the original systems alone, on the kind of database that each had."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import make_url

from tests.compat.support import ADMIN_EMAIL, ADMIN_PASSWORD, build_guest, environment, serving
from tests.compat.vm_api_client import VmApiClient
from tests.lab.service import free_port
from tests.support.servers import empty_database, why_missing

SECRET = "a long enough secret of the original system"
NAMES = {
    "mariadb": ("MYSQL_HOST", "MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"),
    "postgres": ("POSTGRES_SERVER", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"),
}


def parts(kind: str, address: str) -> dict[str, str]:
    """The variables that name a server, of an address."""
    url = make_url(address)
    values = (url.host, url.port, url.username, url.password, url.database)
    return {name: str(value) for name, value in zip(NAMES[kind], values, strict=True) if value is not None}


@pytest.mark.parametrize("kind", NAMES)
def test_the_server_is_found_by_its_parts(kind: str, tmp_path: Path) -> None:
    if reason := why_missing(kind):
        pytest.skip(reason)
    with empty_database(kind, tmp_path) as url:
        more = parts(kind, url) | {"SERVER_ID": "2", "JWT_SECRET": SECRET, "COOKIE_SECURE": "false"}
        with serving(tmp_path, kind, "", **more) as server:
            client = VmApiClient(server.url)
            client.login(ADMIN_EMAIL, ADMIN_PASSWORD)
            assert client.me()["email"] == ADMIN_EMAIL
            log = re.sub(r"\x1b\[[0-9;]*m", "", server.log.read_text())
        assert not (tmp_path / "data" / "parcela.db").exists()
        assert not (tmp_path / "data" / "secret.key").exists()
        assert "settings.older_names" in log
        assert NAMES[kind][0] in log
        assert "COOKIE_SECURE" in log
        assert SECRET not in log


@pytest.mark.parametrize("driver", ["mysql+pymysql", "mysql+mysqlconnector", "postgres", "postgresql+psycopg2"])
def test_addresses_may_name_other_drivers(driver: str, tmp_path: Path) -> None:
    kind = "mariadb" if driver.startswith("mysql") else "postgres"
    if reason := why_missing(kind):
        pytest.skip(reason)
    with empty_database(kind, tmp_path) as url:
        address = url.replace(url.partition("://")[0], driver, 1)
        address += ("&" if "?" in address else "?") + ("charset=utf8mb4" if kind == "mariadb" else "sslmode=prefer")
        with serving(tmp_path, kind, address) as server:
            VmApiClient(server.url).login(ADMIN_EMAIL, ADMIN_PASSWORD)


def test_the_database_of_the_original_itself_is_refused(tmp_path: Path) -> None:
    if reason := why_missing("mariadb"):
        pytest.skip(reason)
    with empty_database("mariadb", tmp_path) as url:
        found = make_url(url)
        login: dict[str, Any] = {"host": found.host, "port": found.port or 3306, "user": found.username}
        connection = pymysql.connect(**login, password=found.password or "", database=found.database)
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE usuarios (id INT PRIMARY KEY)")
            cursor.execute("CREATE TABLE maquinas (codigo VARCHAR(20) PRIMARY KEY)")
            build_guest(tmp_path / "guest")
            environ = environment(tmp_path, free_port(), "", **parts("mariadb", url))
            command = [sys.executable, "-m", "parcela.cli", "serve"]
            ended = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
            cursor.execute("SHOW TABLES")
            assert [row[0] for row in cursor.fetchall()] == ["maquinas", "usuarios"]
    assert ended.returncode not in {0, os.EX_SOFTWARE}
    assert "has tables (maquinas, usuarios)" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_the_file_of_the_original_is_refused(tmp_path: Path) -> None:
    """``vms`` kept its users and VMs in ``db.sqlite3``, beside its ``.env``."""
    with sqlite3.connect(tmp_path / "db.sqlite3") as original:
        original.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
    original.close()
    build_guest(tmp_path / "guest")
    environ = environment(tmp_path, free_port(), "sqlite:///./db.sqlite3")
    command = [sys.executable, "-m", "parcela.cli", "serve"]
    ended = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 5
    assert "has tables (users)" in " ".join(ended.stderr.split())
    with sqlite3.connect(tmp_path / "db.sqlite3") as original:
        assert original.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("users",)]
    original.close()
