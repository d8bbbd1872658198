"""Variables of the older systems: what they come to, and what they never do."""

from pathlib import Path

import pytest

from parcela.core.settings_older import OLDER, OlderNames, older_names

SIGLAB = {"MYSQL_HOST": "db", "MYSQL_USER": "lab", "MYSQL_PASSWORD": "p/w@d:", "MYSQL_DATABASE": "siglab"}
VM_API = {"POSTGRES_SERVER": "pg", "POSTGRES_PORT": "5433", "POSTGRES_USER": "u", "POSTGRES_DB": "vms"}
NAMES = "MYSQL_HOST", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"


def read(environ: dict[str, str], in_file: dict[str, str] | None = None, folder: Path = Path("/nowhere")) -> OlderNames:
    return older_names(environ, in_file or {}, folder)


def test_a_server_becomes_one_address() -> None:
    found = read(SIGLAB)
    assert found.values == {"DATABASE_URL": "mysql://lab:p%2Fw%40d%3A@db/siglab"}
    assert set(found.sources["DATABASE_URL"]) == set(NAMES)
    assert read(VM_API).values == {"DATABASE_URL": "postgresql://u@pg:5433/vms"}
    assert read(SIGLAB | {"MYSQL_HOST": "fd00::1"}).values["DATABASE_URL"].endswith("@[fd00::1]/siglab")


def test_ours_goes_first() -> None:
    found = read(SIGLAB | {"DATABASE_URL": "sqlite:///x.db", "REDIS_HOST": "r", "REDIS_URL": "redis://other/0"})
    assert not found.values
    assert found.unused == dict.fromkeys(NAMES, "DATABASE_URL is set") | {"REDIS_HOST": "REDIS_URL is set"}
    assert read(SIGLAB | {"DATABASE_URL": ""}).values


@pytest.mark.parametrize("missing", ["MYSQL_HOST", "MYSQL_USER", "MYSQL_DATABASE"])
def test_half_a_server_is_none(missing: str) -> None:
    found = read({name: value for name, value in SIGLAB.items() if name != missing})
    assert (found.values, set(found.unused.values())) == ({}, {f"{missing} is missing"})


def test_two_servers_stop_the_start() -> None:
    [problem] = read(SIGLAB | VM_API).problems
    assert problem.where == "MYSQL_HOST"
    assert "POSTGRES_SERVER" in problem.what


def test_an_installation_keeps_its_database_and_its_key(tmp_path: Path) -> None:
    environ = SIGLAB | {"JWT_SECRET": "s" * 40}
    assert set(read(environ, folder=tmp_path).values) == {"DATABASE_URL", "PARCELA_SECRET_KEY"}
    (tmp_path / "parcela.db").touch()
    (tmp_path / "secret.key").touch()
    found = read(environ, folder=tmp_path)
    assert not found.values
    assert "parcela.db" in found.unused["MYSQL_HOST"]
    assert "secret.key" in found.unused["JWT_SECRET"]


SHARED = {older.name: "10.0.0.1" for older in OLDER if older.shared}


def test_names_that_others_use_too_count_for_nothing_alone() -> None:
    found = read(SHARED | {"PATH": "/bin"})
    assert not found.values
    assert set(found.unused) == set(SHARED)
    assert not found.problems


def test_they_count_in_the_file_and_beside_others() -> None:
    wanted = {"PARCELA_HOST": "127.0.0.1", "PARCELA_PORT": "8010"}
    here = {"HOST": "127.0.0.1", "PORT": "8010"}
    assert read({}, here).values == wanted
    assert read(here | {"SERVER_ID": "2"}).values == wanted | {"PARCELA_SERVER_ID": "2"}
    assert read({"HOST": "10.0.0.1"}, here).values["PARCELA_HOST"] == "10.0.0.1"  # the environment goes first


def test_the_other_stores_and_words() -> None:
    found = read(
        {
            "MONGO_HOST": "m",
            "MONGO_PORT": "27018",
            "REDIS_HOST": "r",
            "SERVER_ID": "3",
            "JWT_SECRET": "s" * 32,
            "SECRET_KEY": "s" * 32,
            "JWT_ALG": "HS256",
            "ALGORITHM": "RS256",
            "JWT_EXPIRE_MINUTES": "1440",
            "COOKIE_SECURE": "false",
        }
    )
    assert found.values == {
        "MONGO_URL": "mongodb://m:27018/parcela",
        "REDIS_URL": "redis://r/0",
        "PARCELA_SERVER_ID": "3",
        "PARCELA_SECRET_KEY": "s" * 32,
        "PARCELA_ACCESS_TOKEN_TTL_S": "86400",
    }
    assert found.sources["PARCELA_SECRET_KEY"] == ("JWT_SECRET", "SECRET_KEY")
    assert set(found.unused) == {"ALGORITHM", "COOKIE_SECURE"}
    assert not found.problems
    assert read({"MONGO_HOST": "m", "MONGO_DATABASE": "lab"}).values == {"MONGO_URL": "mongodb://m/lab"}


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        (SIGLAB | {"MYSQL_PORT": "many"}, "MYSQL_PORT"),
        (SIGLAB | {"MYSQL_HOST": "db:3306"}, "MYSQL_HOST"),
        (SIGLAB | {"MYSQL_HOST": "mysql://db"}, "MYSQL_HOST"),
        ({"REDIS_HOST": "a/b"}, "REDIS_HOST"),
        ({"REDIS_HOST": "r", "REDIS_PORT": "0"}, "REDIS_PORT"),
        ({"JWT_EXPIRE_MINUTES": "1441"}, "JWT_EXPIRE_MINUTES"),
        ({"ACCESS_TOKEN_EXPIRE_MINUTES": "0"}, "ACCESS_TOKEN_EXPIRE_MINUTES"),
        ({"JWT_SECRET": "a" * 40, "SECRET_KEY": "b" * 40}, "JWT_SECRET"),
    ],
)
def test_bad_values_stop_the_start(environ: dict[str, str], where: str) -> None:
    assert [problem.where for problem in read(environ).problems] == [where]


def test_each_is_used_or_says_why_not() -> None:
    assert all(bool(older.ours) != bool(older.why) for older in OLDER)
    assert len({older.name for older in OLDER}) == len(OLDER)
