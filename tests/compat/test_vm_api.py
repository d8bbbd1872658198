"""The client of the original ``vm_api``, unchanged, on every kind of database."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.compat.support import ADMIN_EMAIL, ADMIN_PASSWORD, PASSWORD, Server
from tests.compat.vm_api_client import RefusedError, VmApiClient

PATIENCE_S = 120
WEB: dict[str, Any] = {"name": "Servidor web", "cores": 1, "ram": 0.125, "disk": 1, "os": "tiny", "status": "running"}
Enter = Callable[[], VmApiClient]


@pytest.fixture
def admin(server: Server) -> VmApiClient:
    client = VmApiClient(server.url)
    client.login(ADMIN_EMAIL, ADMIN_PASSWORD)
    return client


@pytest.fixture
def enter(server: Server) -> Enter:
    """Somebody new who registers and logs in, as the README of the original says."""

    def make() -> VmApiClient:
        client, name = VmApiClient(server.url), server.unique("alumno")
        email = f"{name}@class.example"
        client.register(email=email, username=name, password=PASSWORD, role="CLIENT")
        client.login(email, PASSWORD)
        return client

    return make


@pytest.fixture
def vm(enter: Enter, server: Server) -> Iterator[tuple[VmApiClient, dict[str, Any]]]:
    """Somebody with a VM that runs."""
    client = enter()
    made = dict(client.create_vm(**WEB))
    settled(server, made["id"])
    yield client, made
    for row in client.vms():
        client.delete_vm(row["id"])


def settled(server: Server, vm_id: int) -> dict[str, Any]:
    """A VM as the canonical API shows it, once nothing works on it."""
    headers, deadline = server.admin_headers(), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen: dict[str, Any] = httpx2.get(
            f"{server.url}/api/v1/virtual-machines/{vm_id}", headers=headers, timeout=60
        ).json()
        if seen["operation_id"] is None:
            return seen
        time.sleep(0.1)
    raise AssertionError(f"never free: {seen}")


def refused(status: int, call: Callable[[], object]) -> str:
    """The text that the client gets with this status."""
    with pytest.raises(RefusedError) as caught:
        call()
    assert caught.value.status == status, caught.value
    return caught.value.detail


def test_the_start_greets(server: Server) -> None:
    assert VmApiClient(server.url).start()["message"]


def test_registering_and_logging_in(server: Server) -> None:
    client, name = VmApiClient(server.url), server.unique("alumno")
    fields = {"email": f"{name}@class.example", "username": name, "password": PASSWORD}
    made = client.register(**fields, is_superuser=True)
    assert (made["email"], made["username"], made["is_superuser"]) == (fields["email"], name, False)
    assert "already" in refused(400, lambda: client.register(**fields))
    assert refused(
        403,
        lambda: client.register(email=f"x{name}@class.example", username=f"x{name}", password=PASSWORD, role="ADMIN"),
    )
    assert refused(401, lambda: client.login(fields["email"], "wrong"))
    client.login(fields["email"], PASSWORD)
    assert client.me() == made


def test_administrators_list_and_make_users(server: Server, admin: VmApiClient, enter: Enter) -> None:
    me, client = admin.me(), enter()
    assert me["is_superuser"] is True
    everybody = admin.users(skip=0, limit=1000)
    assert client.me() in everybody
    assert admin.users(skip=1, limit=1) == everybody[1:2]
    assert refused(403, client.users)
    name = server.unique("jefe")
    made = admin.register(email=f"{name}@class.example", username=name, password=PASSWORD, role="admin")
    boss = VmApiClient(server.url)
    boss.login(f"{name}@class.example", PASSWORD)
    assert made in boss.users(limit=1000)


def test_a_vm_lives(server: Server, vm: tuple[VmApiClient, dict[str, Any]]) -> None:
    client, made = vm
    assert made.items() >= (WEB | {"owner_id": client.me()["id"]}).items()
    read = client.vm(made["id"])
    assert client.vms(skip=0, limit=100) == [read]
    assert client.vms(skip=1) == []
    assert client.update_vm(made["id"], **{key: read[key] for key in ("cores", "ram", "disk", "os", "status")}) == read
    assert client.update_vm(made["id"], status="suspended")["status"] == "suspended"
    assert settled(server, made["id"])["status"] == "paused"
    assert client.update_vm(made["id"], status="stopped")["status"] == "stopped"
    assert settled(server, made["id"])["status"] == "stopped"
    assert client.update_vm(made["id"], ram=1, cores=2)["ram"] == 1
    assert settled(server, made["id"])["ram"] == 1024
    assert client.update_vm(made["id"], status="running")["status"] == "running"
    assert settled(server, made["id"])["status"] == "running"
    assert client.delete_vm(made["id"])["id"] == made["id"]
    assert client.vms() == []
    assert refused(404, lambda: client.vm(made["id"]))


def test_sizes_that_cannot_be_are_told(enter: Enter) -> None:
    client = enter()
    assert "steps of 1/1024" in refused(422, lambda: client.create_vm(**WEB | {"ram": 0.1}))
    assert refused(422, lambda: client.create_vm(**WEB | {"cores": 0})).startswith("cores: ")
    assert refused(422, lambda: client.create_vm(name="web")).startswith("cores: ")
    assert client.vms() == []


def test_a_stopped_one_waits_for_its_start(server: Server, enter: Enter) -> None:
    client = enter()
    made = client.create_vm(**WEB | {"status": "stopped"})
    assert client.vm(made["id"])["status"] == "stopped"
    client.update_vm(made["id"], status="running")
    assert settled(server, made["id"])["status"] == "running"
    client.delete_vm(made["id"])


def test_vms_of_others(admin: VmApiClient, enter: Enter, vm: tuple[VmApiClient, dict[str, Any]]) -> None:
    (_, made), stranger = vm, enter()
    assert stranger.vms() == []
    assert refused(404, lambda: stranger.vm(made["id"]))
    assert refused(404, lambda: stranger.update_vm(made["id"], cores=2))
    assert refused(404, lambda: stranger.delete_vm(made["id"]))
    assert made["id"] in [row["id"] for row in admin.vms(limit=1000)]


def test_a_canonical_session_of_the_same_person_is_untouched(
    server: Server, vm: tuple[VmApiClient, dict[str, Any]]
) -> None:
    client, made = vm
    body = {"email": client.me()["email"], "password": PASSWORD}
    token = httpx2.post(f"{server.url}/api/v1/login", json=body, timeout=60).json()["access_token"]
    for _ in range(3):
        listed = httpx2.get(
            f"{server.url}/api/v1/virtual-machines/", headers={"Authorization": f"Bearer {token}"}, timeout=60
        ).json()
        assert [row["ram"] for row in listed["items"]] == [128]
        assert [row["ram"] for row in client.vms()] == [0.125]
        assert client.vms() == [client.vm(made["id"])]


def test_a_personal_token_can_be_made_for_it(server: Server) -> None:
    wish = {"name": server.unique("script"), "scopes": ["*"], "speaks_vm_api": True}
    made = httpx2.post(f"{server.url}/api/v1/tokens/", json=wish, headers=server.admin_headers(), timeout=60).json()
    client = VmApiClient(server.url)
    client.use(made["token"])
    assert client.me()["email"] == ADMIN_EMAIL
    assert isinstance(client.vms(), list)
