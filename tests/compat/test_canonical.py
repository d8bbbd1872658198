"""The routes that ``vm_api`` has in common with the canonical API, for everybody who is no client of ``vm_api``."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.compat.canonical_client import CanonicalClient
from tests.compat.support import ADMIN_EMAIL, ADMIN_PASSWORD, PASSWORD, Server

PATIENCE_S = 120
TINY: dict[str, Any] = {"cores": 1, "ram": 128, "disk": 1, "os": "tiny"}
FIELDS = {"name", "cores", "ram", "disk", "os", "status", "owner_id"}
Enter = Callable[[], CanonicalClient]


@pytest.fixture
def admin(server: Server) -> Iterator[CanonicalClient]:
    client = CanonicalClient(server.url)
    client.login(ADMIN_EMAIL, ADMIN_PASSWORD)
    yield client
    client.close()


@pytest.fixture
def enter(server: Server, admin: CanonicalClient) -> Iterator[Enter]:
    """Somebody new with the role ``client``, logged in."""
    clients: list[CanonicalClient] = []

    def make() -> CanonicalClient:
        name = server.unique("alumno")
        admin.create_user(email=f"{name}@class.example", username=name, password=PASSWORD, role="client")
        client = CanonicalClient(server.url)
        clients.append(client)
        client.login(f"{name}@class.example", PASSWORD)
        return client

    yield make
    for client in clients:
        client.close()


def wait_for(client: CanonicalClient, vm_id: int, status: str) -> Any:
    """A VM once it has a status and nothing works on it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = client.vm(vm_id)
        if seen["status"] == status and seen["operation_id"] is None:
            return seen
        time.sleep(0.1)  # between two looks, as this API's clients did
    raise AssertionError(f"never {status}: {seen}")


def test_logging_in_as_json_and_as_a_form(server: Server) -> None:
    client = CanonicalClient(server.url)
    assert client.call("GET", "/users/me", 401)["code"] == "token_missing"
    assert client.login(ADMIN_EMAIL, "wrong", expected=401)["code"] == "bad_credentials"
    assert client.login_by_form("admin", ADMIN_PASSWORD)["token_type"] == "bearer"
    me = client.me()
    assert (me["email"], me["role"], me["is_superuser"]) == (ADMIN_EMAIL, "admin", True)
    client.close()


def test_administrators_make_and_list_users(server: Server, admin: CanonicalClient) -> None:
    name = server.unique("alumno")
    fields: dict[str, Any] = {
        "email": f"{name}@class.example",
        "username": name,
        "role": "client",
        "is_superuser": False,
    }
    made = admin.create_user(**fields, password=PASSWORD)
    assert fields.items() <= made.items()
    assert "password" not in made
    assert admin.users(q=name)["items"] == [made]
    again = admin.create_user(expected=409, **fields, password=PASSWORD)
    assert again["code"] in {"email_taken", "username_taken"}


@pytest.mark.parametrize(("role", "stored"), [("CLIENT", "client"), ("ADMIN", "admin")])
def test_roles_may_be_written_in_capitals(server: Server, admin: CanonicalClient, role: str, stored: str) -> None:
    name = server.unique("alumno")
    made = admin.create_user(email=f"{name}@class.example", username=name, password=PASSWORD, role=role)
    assert made["role"] == stored


def test_a_slash_too_few_is_no_matter(server: Server, enter: Enter) -> None:
    client = enter()
    body = {"name": server.unique("vm"), **TINY}
    made = client.raw("POST", "/virtual-machines", json=body, follow_redirects=True)
    assert made.status_code == 201
    listed = client.raw("GET", "/virtual-machines", follow_redirects=True).json()["items"]
    assert [vm["name"] for vm in listed] == [body["name"]]
    wait_for(client, made.json()["id"], "running")
    client.delete_vm(made.json()["id"])


def test_a_vm_is_sent_back_as_it_was_read(server: Server, admin: CanonicalClient, enter: Enter) -> None:
    client = enter()
    made = client.create_vm(name=server.unique("vm"), **TINY)
    read = {field: value for field, value in wait_for(client, made["id"], "running").items() if field in FIELDS}
    assert client.update_vm(made["id"], **read).items() >= read.items()
    client.update_vm(made["id"], **read | {"status": "stopped"})
    wait_for(client, made["id"], "stopped")
    client.update_vm(made["id"], **read | {"status": "stopped", "ram": 256})
    assert wait_for(client, made["id"], "stopped")["ram"] == 256
    client.update_vm(made["id"], status="running")
    wait_for(client, made["id"], "running")
    for field, value in (("os", "beos"), ("owner_id", admin.me()["id"]), ("status", "paused")):
        assert client.update_vm(made["id"], expected=422, **{field: value})["code"] == f"{field}_fixed"
    client.delete_vm(made["id"])


def test_clients_see_themselves_only(enter: Enter) -> None:
    client = enter()
    assert client.me()["role"] == "client"
    assert client.users(expected=403)["code"] == "permission_missing"
    assert client.create_user(expected=403, email="x@y.example", username="xy", password=PASSWORD)["status"] == 403


def test_a_vm_is_made_read_changed_and_removed(server: Server, enter: Enter) -> None:
    client = enter()
    name = server.unique("vm")
    made = client.create_vm(name=name, **TINY)
    assert made.keys() >= FIELDS
    assert made.items() >= ({"name": name, "owner_id": client.me()["id"]} | TINY).items()
    assert [vm["id"] for vm in client.vms()["items"]] == [made["id"]]
    wait_for(client, made["id"], "running")
    refused = client.update_vm(made["id"], expected=409, cores=2)
    assert refused["code"] == "vm_must_be_stopped"
    client.call("POST", f"/virtual-machines/{made['id']}/stop", 202)
    wait_for(client, made["id"], "stopped")
    assert client.update_vm(made["id"], cores=2)["cores"] == 2
    wait_for(client, made["id"], "stopped")
    operation = client.delete_vm(made["id"])
    assert operation["kind"] == "vm.destroy"
    deadline = time.monotonic() + PATIENCE_S
    while client.raw("GET", f"/virtual-machines/{made['id']}").status_code != 404:
        assert time.monotonic() < deadline, "never gone"
        time.sleep(0.1)
    assert client.vms()["items"] == []


def test_a_client_reaches_only_its_own_vms_and_an_administrator_all(
    server: Server, admin: CanonicalClient, enter: Enter
) -> None:
    owner, stranger = enter(), enter()
    made = owner.create_vm(name=server.unique("vm"), **TINY)
    assert stranger.vms()["items"] == []
    assert stranger.vm(made["id"], expected=404)["code"] == "virtual_machine_not_found"
    stranger.update_vm(made["id"], expected=404, name="mine")
    stranger.delete_vm(made["id"], expected=404)
    assert admin.vm(made["id"])["owner_id"] == made["owner_id"]
    wait_for(admin, made["id"], "running")
    admin.delete_vm(made["id"])


def test_errors_say_where_and_what(enter: Enter) -> None:
    error = enter().create_vm(expected=422, name="not a host name", **TINY | {"cores": 0})
    assert error["code"] == "request_invalid"
    assert {problem["where"] for problem in error["problems"]} == {"body.name", "body.cores"}


def test_every_answer_says_how_much_is_left(enter: Enter) -> None:
    answer = enter().raw("GET", "/virtual-machines/")
    for name in ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"):
        assert int(answer.headers[name]) > 0
    assert answer.headers["X-Server-Id"]


def test_the_documentation_is_there(server: Server) -> None:
    client = CanonicalClient(server.url)
    for page, script in (("/docs", r'src="/[^"]*/docs-\w+\.js"'), ("/redoc", r'src="/[^"]*/redoc-\w+\.js"')):
        assert re.search(script, client.raw("GET", server.url + page).text), page
    document = client.raw("GET", f"{server.url}/openapi.json").json()
    nine = {
        "/api/v1/login": {"post"},
        "/api/v1/users/": {"get", "post"},
        "/api/v1/users/me": {"get"},
        "/api/v1/virtual-machines/": {"get", "post"},
        "/api/v1/virtual-machines/{vm_id}": {"get", "put", "delete"},
    }
    for path, methods in nine.items():
        for method in methods:
            operation = document["paths"][path][method]
            assert "422" in operation["responses"] or path.endswith("/me")
            if path != "/api/v1/login":
                assert [next(iter(way)) for way in operation["security"]] == ["HTTPBearer", "OAuth2PasswordBearer"]
    client.close()
