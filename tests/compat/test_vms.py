"""The ``vms`` API from its client's side, on every kind of database."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.compat.support import ADMIN_EMAIL, ADMIN_PASSWORD, PASSWORD, Server
from tests.compat.vms_client import VmsClient

PATIENCE_S = 120
TINY: dict[str, Any] = {"cores": 1, "ram": 128, "disk": 1, "os": "tiny"}


@pytest.fixture
def nobody(server: Server) -> Iterator[VmsClient]:
    client = VmsClient(server.url)
    yield client
    client.close()


@pytest.fixture
def admin(server: Server) -> Iterator[VmsClient]:
    client = VmsClient(server.url)
    client.login(ADMIN_EMAIL, ADMIN_PASSWORD)
    yield client
    client.close()


@pytest.fixture
def person(server: Server) -> Callable[[], dict[str, Any]]:
    """Fields of somebody nobody knows yet."""

    def make() -> dict[str, Any]:
        name = server.unique("persona")
        return {"name": name, "email": f"{name}@class.example", "password": PASSWORD, "rol": "cliente"}

    return make


Person = Callable[[], dict[str, Any]]


def test_a_wrong_password_opens_nothing(nobody: VmsClient) -> None:
    assert nobody.login(ADMIN_EMAIL, "wrong", expected=401)["code"] == "bad_credentials"


def test_the_list_of_users_needs_a_token(nobody: VmsClient) -> None:
    assert nobody.users(expected=401)["code"] == "token_missing"


def test_a_user_is_made_read_changed_and_removed(admin: VmsClient, person: Person) -> None:
    fields = person()
    made = admin.create_user(**fields)
    assert made == {"id": made["id"], "name": fields["name"], "email": fields["email"], "rol": "cliente"}
    assert made in admin.users()
    changed = admin.update_user(made["id"], name="Otra", rol="administrador")
    assert changed == made | {"name": "Otra", "rol": "administrador"}
    assert admin.user(made["id"]) == changed
    admin.delete_user(made["id"])
    assert admin.user(made["id"], expected=404)["code"] == "user_not_found"


def test_an_address_is_given_once(admin: VmsClient, person: Person) -> None:
    fields = person()
    admin.create_user(**fields)
    error = admin.create_user(expected=409, **fields)
    assert (error["code"], error["field"]) == ("email_taken", "email")


def test_a_rol_that_there_is_not_is_named(admin: VmsClient, person: Person) -> None:
    error = admin.create_user(expected=422, **person() | {"rol": "jefe"})
    assert (error["code"], error["field"]) == ("request_invalid", "rol")


def test_two_people_of_the_same_name_at_two_places_get_two_accounts(admin: VmsClient, person: Person) -> None:
    fields = person()
    admin.create_user(**fields)
    other = admin.create_user(**fields | {"email": fields["email"].replace("class", "school")})
    assert other["name"] == fields["name"]


def test_a_vm_lives_and_everybody_hears_of_it(server: Server, admin: VmsClient) -> None:
    name = server.unique("vm")
    with admin.listen("vms") as news:
        made = admin.create_vm(name=name, **TINY)
        assert made.items() >= ({"name": name} | TINY).items()
        assert news.until("vm_created")["vm"]["id"] == made["id"]
        news.until("vm_updated", id=made["id"], status="running")
        _repeat_while_busy(lambda: admin.update_vm(made["id"], status="stopped"))
        news.until("vm_updated", id=made["id"], status="stopped")
        _repeat_while_busy(lambda: admin.update_vm(made["id"], cores=2))
        news.until("vm_updated", id=made["id"], cores=2)
        _repeat_while_busy(lambda: admin.delete_vm(made["id"]))
        admin.vm(made["id"], expected=404)
        assert made["id"] not in {vm["id"] for vm in admin.vms()}
        assert news.until("vm_deleted", id=made["id"])["vm"]["status"] == "deleted"
    assert news.numbers == sorted(set(news.numbers))


def _repeat_while_busy(work: Callable[[], object]) -> None:
    """Until the operation that was under way has let go of the VM."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            work()
        except AssertionError as refusal:
            if '"busy"' not in str(refusal):
                raise
        else:
            return
        time.sleep(0.05)  # between two looks
    raise AssertionError("busy for ever")


def test_a_running_vm_keeps_its_sizes(server: Server, admin: VmsClient) -> None:
    with admin.listen("vms") as news:
        made = admin.create_vm(name=server.unique("vm"), **TINY)
        news.until("vm_updated", id=made["id"], status="running")
    error: dict[str, str] = {}

    def ask() -> None:
        error.update(admin.update_vm(made["id"], expected=409, cores=2))
        assert error["code"] != "busy", '"busy"'

    _repeat_while_busy(ask)
    assert (error["code"], error["field"]) == ("vm_must_be_stopped", "cores")


def test_things_are_sent_back_as_they_were_read(server: Server, admin: VmsClient, person: Person) -> None:
    user = admin.create_user(**person())
    assert admin.update_user(user["id"], **user) == user
    with admin.listen("vms") as news:
        made = admin.create_vm(name=server.unique("vm"), **TINY)
        read = news.until("vm_updated", id=made["id"], status="running")["vm"]
    _repeat_while_busy(lambda: admin.update_vm(made["id"], **read))
    assert admin.vm(made["id"]) == read
    assert admin.update_vm(made["id"], expected=422, **read | {"owner_id": user["id"]})["field"] == "owner_id"
    _repeat_while_busy(lambda: admin.delete_vm(made["id"]))


def test_a_slash_too_few_is_no_matter(nobody: VmsClient, admin: VmsClient) -> None:
    assert {user["email"] for user in admin.call("GET", "/users", 200, follow_redirects=True)} >= {ADMIN_EMAIL}
    assert nobody.call("POST", "/users", 401, json={}, follow_redirects=True)["code"] == "token_missing"


def test_errors_before_a_route_is_found_have_the_same_shape(nobody: VmsClient) -> None:
    assert nobody.call("GET", "/vms/1/nothing/here", 404)["code"] == "route_not_found"
    assert nobody.call("PATCH", "/users/1", 405)["code"] == "method_not_allowed"


def test_clients_may_look_but_only_administrators_write(server: Server, admin: VmsClient, person: Person) -> None:
    fields = person()
    admin.create_user(**fields)
    client = VmsClient(server.url)
    client.login(fields["email"], PASSWORD)
    assert client.vms() == []
    assert client.create_vm(expected=403, name="mine", **TINY)["code"] == "permission_missing"
    assert client.users(expected=403)["code"] == "permission_missing"
    client.close()


def test_what_is_wrong_with_a_vm_is_said_by_its_field(admin: VmsClient) -> None:
    assert admin.create_vm(expected=422, name="x", **TINY | {"cores": 0})["field"] == "cores"
    assert admin.create_vm(expected=422, name="x", **TINY | {"os": "beos"})["field"] == "os"


def test_news_of_users_can_be_resumed(admin: VmsClient, person: Person) -> None:
    with admin.listen("users") as news:
        made = admin.create_user(**person())
        first = news.until("user_created", id=made["id"])
    admin.update_user(made["id"], name="Otra")
    admin.delete_user(made["id"])
    with admin.listen("users", since=first["seq"]) as later:
        later.until("user_updated", id=made["id"])
        assert later.until("user_deleted", id=made["id"])["user"]["id"] == made["id"]


@pytest.mark.parametrize("noun", ["users", "vms"])
def test_a_socket_without_a_token_is_closed_with_the_reason(nobody: VmsClient, noun: str) -> None:
    with nobody.listen(noun) as news, pytest.raises(ConnectionClosed) as closed:
        news.until("anything")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    assert "token_missing" in closed.value.rcvd.reason
