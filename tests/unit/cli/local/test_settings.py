"""Settings: all problems at once, and a table that is up to date."""

from pathlib import Path

import pytest

from parcela.cli.local.settings_table import markdown, rows
from parcela.core.errors import ParcelaError
from parcela.core.settings import Settings, env_name, load_settings
from parcela.core.settings_older import BY_NAME
from tests.unit.cli.support import run

PAGES = Path(__file__).parents[4] / "docs" / "reference"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but those of the test."""
    for name in {*map(env_name, Settings.model_fields), *BY_NAME}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))  # what this machine has installed is no matter
    monkeypatch.setattr("parcela.core.settings.default_data_dir", lambda: tmp_path / "share" / "parcela")
    monkeypatch.chdir(tmp_path)


def problems() -> dict[str, str]:
    with pytest.raises(ParcelaError) as caught:
        load_settings()
    return {problem.where: problem.what for problem in caught.value.problems}


def test_all_problems_are_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {
        "PARCELA_PORT": "abc",
        "PARCELA_HYPERVISOR": "xen",
        "PARCELA_SECRET_KEY": "short",
        "PARCELA_LOG_LEVEL": "loud",
        "PARCELA_LOG_JSON": "perhaps",
        "PARCELA_SWEEP_INTERVAL_S": "0",
        "PARCELA_MAX_BODY_BYTES": "1",
        "PARCELA_NAT_PREFIXES": "10.0.0.0/99",
        "PARCELA_CORS_ORIGINS": "lab.example",
        "PARCELA_TRUSTED_PROXIES": "proxy",
        "DATABASE_URL": "oracle://u:hidden@db",
        "PARCELA_PROT": "1",
    }
    for name, value in bad.items():
        monkeypatch.setenv(name, value)
    found = problems()
    assert set(found) == set(bad)
    assert found["PARCELA_PORT"] == "It is 'abc', but must be a whole number from 1 to 65535."
    assert found["PARCELA_HYPERVISOR"] == "It is 'xen', but must be libvirt or simulated."
    assert found["PARCELA_LOG_JSON"] == "It is 'perhaps', but must be true or false."
    assert found["PARCELA_MAX_BODY_BYTES"] == "It is '1', but must be a whole number, at least 65536."
    assert found["PARCELA_SECRET_KEY"] == "It must have at least 32 characters."
    assert found["PARCELA_PROT"] == "There is no such setting. Is PARCELA_PORT meant?"
    assert "hidden" not in found["DATABASE_URL"]


def test_production_needs_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_PRODUCTION", "true")
    assert set(problems()) == {"PARCELA_PRODUCTION"}
    monkeypatch.setenv("PARCELA_SECRET_KEY", "short")
    assert set(problems()) == {"PARCELA_SECRET_KEY"}
    monkeypatch.setenv("PARCELA_SECRET_KEY", "x" * 32)
    assert load_settings().production


def test_the_file_is_read_and_its_mistakes_found(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PARCELA_PORT=8100\nPARCELA_PROT=1\nOTHER=1\n")
    assert set(problems()) == {"PARCELA_PROT"}
    (tmp_path / ".env").write_text("PARCELA_PORT=8100\n")
    assert load_settings().listen_port == 8100


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite:////tmp/x.db",
        "postgresql://u@h/d",
        "postgresql+asyncpg://h/d",
        "postgresql+psycopg2://h/d",
        "postgres://h/d?sslmode=require",
        "mysql://h/d",
        "mysql+pymysql://h/d",
        "mariadb://h/d",
    ],
)
def test_databases_there_are(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert load_settings().database_url == url


def test_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_CORS_ORIGINS", "https://lab.example, http://localhost:5173")
    monkeypatch.setenv("PARCELA_TRUSTED_PROXIES", "10.0.0.1,fd00::/8")
    settings = load_settings()
    assert settings.cors_origins == ("https://lab.example", "http://localhost:5173")
    assert settings.trusted_proxies == ("10.0.0.1", "fd00::/8")


def test_the_variables_of_the_client_are_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_URL", "http://lab")
    monkeypatch.setenv("PARCELA_TOKEN", "t")
    monkeypatch.setenv("PARCELA_CONFIG", "/x")
    load_settings()


def test_a_start_with_bad_settings_ends_with_78(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_PORT", "0")
    monkeypatch.setenv("PARCELA_BOOTS_PER_HOST", "-1")
    ended = run("serve")
    assert ended.code == 78
    assert "PARCELA_PORT: It is '0'" in ended.err
    assert "PARCELA_BOOTS_PER_HOST: It is '-1'" in ended.err
    found = run("--json", "migrate")
    assert found.code == 78
    assert [item["where"] for item in found.problem["problems"]] == ["PARCELA_PORT", "PARCELA_BOOTS_PER_HOST"]


def test_every_setting_is_in_the_table() -> None:
    assert [row["name"] for row in rows()] == [env_name(name) for name in Settings.model_fields]
    assert all(row["meaning"] and row["allowed"] for row in rows())
    by_name = {row["name"]: row for row in run("settings", "--json").json}
    assert by_name["PARCELA_PORT"]["allowed"] == "a whole number from 1 to 65535"
    assert by_name["PARCELA_HYPERVISOR"]["default"] == "libvirt"


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    text = (PAGES / "settings.md").read_text(encoding="utf-8")
    assert text == markdown(), "run 'parcela settings --markdown -o docs/reference/settings.md'"
    assert run("settings", "--markdown").out == text
    assert run("settings", "--markdown", "-o", "page.md").code == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == text


def test_no_default_depends_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = markdown()
    monkeypatch.setenv("XDG_DATA_HOME", "/elsewhere")
    monkeypatch.setenv("PARCELA_PORT", "9000")
    assert markdown() == before


def by_name() -> dict[str, dict[str, str]]:
    ended = run("settings", "--json")
    assert ended.code == 0
    return {row["name"]: row for row in ended.json}


def test_each_value_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARCELA_PORT", "8100")
    monkeypatch.setenv("JWT_SECRET", "top-secret-" * 4)
    monkeypatch.setenv("MYSQL_HOST", "db")
    monkeypatch.setenv("MYSQL_USER", "lab")
    monkeypatch.setenv("MYSQL_PASSWORD", "hidden")
    (tmp_path / ".env").write_text("PARCELA_LOG_LEVEL=debug\nMYSQL_DATABASE=siglab\nSERVER_ID=2\n")
    found = by_name()
    told = {name: (row["value"], row["source"]) for name, row in found.items() if row["source"] != "default"}
    assert told == {
        "PARCELA_PORT": ("8100", "environment"),
        "PARCELA_LOG_LEVEL": ("debug", "file .env"),
        "PARCELA_SERVER_ID": ("2", "SERVER_ID (file .env)"),
        "PARCELA_SECRET_KEY": ("(not shown)", "JWT_SECRET (environment)"),
        "DATABASE_URL": (
            "mysql://lab:(not shown)@db/siglab",
            "MYSQL_HOST, MYSQL_USER, MYSQL_PASSWORD, MYSQL_DATABASE (environment and file .env)",
        ),
    }
    assert found["PARCELA_HOST"]["value"] == "127.0.0.1"
    settings = load_settings()
    assert settings.database_url == "mysql://lab:hidden@db/siglab"
    assert (settings.server_id, settings.listen_port) == ("2", 8100)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hidden@h/d",
        "mysql://u:hid@den@h/d",
        "postgresql://h/d?user=u&password=hidden",
        "mysql://:hidden@h/d",
    ],
)
def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PARCELA_ADMIN_PASSWORD", "hidden")
    shown = run("settings", "--json").out + run("settings").out
    assert "hidden" not in shown
    assert "hid@den" not in shown


def test_a_weak_secret_of_an_older_name_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "secret")
    assert problems() == {"JWT_SECRET": "It must have at least 32 characters."}
    ended = run("serve")
    assert (ended.code, "JWT_SECRET: It must have at least 32 characters." in ended.err) == (78, True)
    monkeypatch.setenv("PARCELA_SECRET_KEY", "x" * 32)
    assert load_settings().secret_key is not None


def test_bad_older_values_are_named_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_ID", "uno dos")
    monkeypatch.setenv("PORT", "http")
    assert set(problems()) == {"SERVER_ID", "PORT"}


def test_a_start_says_what_it_reads_and_what_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr("parcela.cli.local.server.log.info", lambda event, **facts: told.append((event, facts)))
    monkeypatch.setattr("parcela.cli.local.server.log.warning", lambda event, **facts: told.append((event, facts)))
    monkeypatch.setattr("parcela.cli.local.server.raise_open_files", lambda: (_ for _ in ()).throw(SystemExit(3)))
    monkeypatch.setattr("parcela.cli.local.server.check_port", lambda _host, _port: None)
    monkeypatch.setenv("PARCELA_DATA_DIR", str(tmp_path / "data"))
    for name, value in {"SERVER_ID": "2", "PORT": "8011", "COOKIE_SECURE": "true", "REDIS_TTL": "60"}.items():
        monkeypatch.setenv(name, value)
    run("serve")
    assert told[0] == ("settings.older_names", {"PARCELA_SERVER_ID": "SERVER_ID", "PARCELA_PORT": "PORT"})
    assert told[1][0] == "settings.older_names_not_used"
    assert set(told[1][1]) == {"COOKIE_SECURE", "REDIS_TTL"}
