"""``deploy/`` against the settings, without starting anything; ``tests/containers`` starts it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from parcela.core.settings import Settings, env_name

DEPLOY = Path(__file__).parents[2] / "deploy"
SECRETS = {
    "MARIADB_PASSWORD": "p" * 20,
    "PARCELA_SECRET_KEY": "k" * 40,
    "PARCELA_ADMIN_PASSWORD": "correct horse battery",
}
FILES = ("compose.yaml", "compose.siglab.yaml")
PLACEHOLDER = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return document


@pytest.fixture(scope="module")
def siglab() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.siglab.yaml").read_text())
    return document


@pytest.fixture(scope="module")
def documents(compose: dict[str, Any], siglab: dict[str, Any]) -> list[dict[str, Any]]:
    return [compose, siglab]


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text()


def filled(text: str) -> str:
    """A value as compose would fill it in; a missing one without a default stops it."""

    def value(found: re.Match[str]) -> str:
        default = found["text"] if found["kind"] == "-" else None
        given = SECRETS.get(found["name"], default)
        assert given is not None, f"{found['name']} is neither given nor has a default"
        return given

    return PLACEHOLDER.sub(value, text)


def test_there_is_the_app_a_database_and_a_console(compose: dict[str, Any]) -> None:
    assert compose["services"].keys() == {"app", "db", "console"}
    for service in ("app", "console"):
        assert compose["services"][service]["depends_on"] == {"db": {"condition": "service_healthy"}}


def test_the_settings_of_the_app_are_good(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {name: filled(value) for name, value in compose["services"]["app"]["environment"].items()}
    assert environment.keys() <= {env_name(field) for field in Settings.model_fields}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    assert settings.production
    assert not settings.registration_open
    assert settings.listen_host == "0.0.0.0"  # noqa: S104 (inside its container)


def test_the_database_is_the_one_the_app_asks_for(compose: dict[str, Any]) -> None:
    db, app = compose["services"]["db"], compose["services"]["app"]
    wanted = "mysql://{MARIADB_USER}:{MARIADB_PASSWORD}@db:3306/{MARIADB_DATABASE}".format(**db["environment"])
    assert app["environment"]["DATABASE_URL"] == wanted
    assert set(db["networks"]) == {"inside"}
    assert compose["networks"]["inside"] == {"internal": True}
    assert "ports" not in db


def test_ports_are_those_inside_and_open_to_this_machine_only(compose: dict[str, Any]) -> None:
    app = compose["services"]["app"]
    assert [filled(port) for port in app["ports"]] == [f"127.0.0.1:8000:{app['environment']['PARCELA_PORT']}"]


def test_nothing_is_published_to_other_machines(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        ports = [port for service in document["services"].values() for port in service.get("ports", [])]
        assert ports
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_is_written_down(documents: list[dict[str, Any]]) -> None:
    services = [service for document in documents for service in document["services"].values()]
    for service in services:
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET", name) and name != "MARIADB_RANDOM_ROOT_PASSWORD":
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
    example = dict(line.split("=", 1) for line in (DEPLOY / "env.example").read_text().splitlines() if "=" in line)
    assert dict.fromkeys(SECRETS, "") == {name: value for name, value in example.items() if name[0] != "#"}


def test_images_have_pinned_tags(documents: list[dict[str, Any]], dockerfile: str) -> None:
    images = [service["image"] for document in documents for service in document["services"].values()]
    images += re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert len(images) == 13
    for image in images:
        tag = image.partition(":")[2]
        assert tag, image
        assert tag != "latest", image


def test_the_app_is_not_root_and_says_how_it_is(compose: dict[str, Any], dockerfile: str) -> None:
    last = dockerfile.rpartition("\nFROM ")[2]
    assert "\nUSER parcela\n" in last
    assert "/api/v1/system/health" in last.partition("HEALTHCHECK")[2]
    assert compose["services"]["app"]["cap_drop"] == ["ALL"]
    assert compose["services"]["app"]["read_only"] is True


def test_every_service_says_how_it_is_in_words_that_podman_compose_passes_on(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        for service in document["services"].values():
            kind, _command = service["healthcheck"]["test"]
            assert kind == "CMD-SHELL"


def test_the_replicas_of_siglab_differ_in_their_number_only(
    siglab: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    backends = [siglab["services"][f"backend-{number}"] for number in (1, 2, 3)]
    settings = [service["environment"] | {"PARCELA_SERVER_ID": ""} for service in backends]
    assert settings[0] == settings[1] == settings[2]
    assert [service["environment"]["PARCELA_SERVER_ID"] for service in backends] == ["1", "2", "3"]
    for name, value in settings[0].items():
        monkeypatch.setenv(name, filled(value))
    given = Settings(_env_file=None)
    subnet = filled(siglab["networks"]["outside"]["ipam"]["config"][0]["subnet"])
    assert list(given.trusted_proxies) == [subnet]
    assert given.mongo_url
    assert given.redis_url
    assert set(siglab["services"]["nginx"]["networks"]) == {"outside"}
    assert all(siglab["services"][store]["networks"] == ["inside"] for store in ("mysql", "mongodb", "redis"))


def test_the_dockerfile_sets_what_there_is_and_copies_what_exists(dockerfile: str) -> None:
    names = {env_name(field) for field in Settings.model_fields}
    assert set(re.findall(r"\b(PARCELA_\w+)=", dockerfile)) <= names
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for path in line.split():
            assert (DEPLOY.parent / path).exists(), path


def seconds_of(directive: str) -> int:
    """A time of nginx' configuration; of the servers behind it where there are two."""
    found = re.search(rf"^\s*{directive} (\d+)s;", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE)
    assert found, directive
    return int(found[1])


def test_the_time_limits_of_nginx_are_those_of_the_server() -> None:
    settings = Settings(_env_file=None)
    assert seconds_of("client_header_timeout") == settings.header_timeout_s
    assert seconds_of("client_body_timeout") == settings.body_timeout_s
    assert seconds_of("send_timeout") == settings.write_timeout_s
    # The first is that of the upstream: nginx has to be the one that closes.
    assert seconds_of("keepalive_timeout") < settings.keep_alive_timeout_s
    # A WebSocket of a client that is gone ends by the ping, not by the proxy.
    assert seconds_of("proxy_read_timeout") > 2 * settings.websocket_ping_s
    assert f"limit_conn per_address {settings.max_connections_per_address};" in (DEPLOY / "nginx.conf").read_text()
