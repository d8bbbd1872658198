"""The ``vms`` API from its pages' side, on every kind of database."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from tests.compat.support import ADMIN_EMAIL, ADMIN_PASSWORD, PASSWORD, Server
from tests.compat.vms_client import NetworkError, OwnPages, Pages, RefusedError

PATIENCE_S = 120
TINY: dict[str, Any] = {"cores": 1, "ram": 128, "disk": 1, "os": "Tiny", "status": "running"}
Person = Callable[[], dict[str, Any]]


@pytest.fixture
def nobody(server: Server) -> Iterator[Pages]:
    pages = Pages(server.url)
    yield pages
    pages.close()


@pytest.fixture
def admin(server: Server) -> Iterator[Pages]:
    pages = Pages(server.url)
    pages.login(ADMIN_EMAIL, ADMIN_PASSWORD)
    yield pages
    pages.close()


@pytest.fixture
def own(server: Server) -> Iterator[OwnPages]:
    """An administrator at pages of the API's own origin."""
    pages = OwnPages(server.url)
    pages.login(ADMIN_EMAIL, ADMIN_PASSWORD)
    yield pages
    pages.close()


@pytest.fixture
def person(server: Server) -> Person:
    """A filled-in form of somebody nobody knows yet."""

    def make() -> dict[str, Any]:
        name = server.unique("persona")
        return {"name": f"Señora {name}", "email": f"{name}@class.example", "password": PASSWORD, "rol": "cliente"}

    return make


def refused(work: Callable[[], object], status: int) -> RefusedError:
    """The refusal, which has a sentence that the page can show."""
    with pytest.raises(RefusedError) as raised:
        work()
    assert raised.value.status == status, raised.value
    assert raised.value.shown
    return raised.value


def brought(pages: Pages, vm_id: int, status: str) -> dict[str, Any]:
    """The VM as the list shows it, once nothing works on it any more: loading it again changes nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = pages.vm(vm_id)
        if seen["status"] == status and seen == pages.vm(vm_id):
            return seen
        time.sleep(0.05)  # between two looks
    raise AssertionError(f"it stays {seen}")


# ---- login, and what the pages show


def test_the_pages_know_an_administrator_by_the_token(admin: Pages) -> None:
    assert admin.rol == "administrador"
    assert admin.browser.preflights == ["POST /login"]


def test_the_pages_know_a_client_by_the_token(server: Server, nobody: Pages) -> None:
    email = f"{server.user()}@class.example"
    nobody.login(email, PASSWORD)
    assert nobody.rol == "cliente"
    assert nobody.vms() == []
    refused(nobody.users, 403)
    refused(lambda: nobody.create_vm(name="mine", **TINY), 403)


def test_a_wrong_password_is_an_answer_that_the_page_sees(nobody: Pages) -> None:
    assert "detail" not in refused(lambda: nobody.login(ADMIN_EMAIL, "wrong"), 401).body


def test_a_role_in_the_token_gives_no_right(server: Server, nobody: Pages) -> None:
    """The server reads roles from the database: of one that was taken away, the old token is worth nothing."""
    name = server.user(role="admin")
    nobody.login(f"{name}@class.example", PASSWORD)
    assert nobody.rol == "administrador"
    me = next(row for row in nobody.users() if row["email"] == f"{name}@class.example")
    answer = httpx2.patch(
        f"{server.url}/api/v1/users/{me['id']}", json={"role": "client"}, headers=server.admin_headers(), timeout=60
    )
    assert answer.status_code == 200, answer.text
    refused(nobody.users, 403)


# ---- across origins


def test_lists_without_the_final_slash_are_found_across_origins(admin: Pages) -> None:
    assert ADMIN_EMAIL in {row["email"] for row in admin.users()}
    admin.vms()
    assert {"GET /users", "GET /vms"} <= set(admin.browser.preflights)


@pytest.mark.parametrize("path", ["/users", "/vms", "/users/999999999", "/vms/999999999", "/vms/1/nothing/here"])
def test_every_refusal_is_shown_to_the_page(admin: Pages, nobody: Pages, path: str) -> None:
    for pages, method, data in ((nobody, "GET", None), (nobody, "PUT", {}), (admin, "POST", {}), (admin, "PATCH", {})):
        with pytest.raises(RefusedError) as raised:  # and never NetworkError
            assert pages.axios(method, path, data).request.method == "GET"
        assert raised.value.status in {401, 403, 404, 405, 422}, raised.value
        assert raised.value.shown, raised.value


def test_a_page_of_another_origin_is_shown_nothing(server: Server) -> None:
    pages = Pages(server.url, page_origin="http://evil.example")
    with pytest.raises(NetworkError):
        pages.login(ADMIN_EMAIL, ADMIN_PASSWORD)
    pages.close()


# ---- people


def test_a_stranger_registers_and_logs_in(nobody: Pages, person: Person) -> None:
    form = person()
    made = nobody.register(**form)
    assert made == {"id": made["id"], "name": form["name"], "email": form["email"], "rol": "cliente"}
    nobody.login(form["email"], form["password"])
    assert nobody.rol == "cliente"
    nobody.token = ""
    assert "rol" in nobody.register(**{name: value for name, value in person().items() if name != "rol"})


def test_a_stranger_cannot_register_as_administrator(nobody: Pages, admin: Pages, person: Person) -> None:
    form = person() | {"rol": "administrador"}
    assert refused(lambda: nobody.register(**form), 403).body["code"] == "registration_role"
    assert form["email"] not in {row["email"] for row in admin.users()}


def test_what_is_wrong_with_a_registration_is_shown(nobody: Pages, person: Person) -> None:
    form = person()
    nobody.register(**form)
    assert refused(lambda: nobody.register(**form), 409).body["field"] == "email"
    assert "8" in refused(lambda: nobody.register(**person() | {"password": "short"}), 422).shown
    assert "rol" in refused(lambda: nobody.register(**person() | {"rol": "jefe"}), 422).shown
    assert "email" in refused(lambda: nobody.register(name="x", password=PASSWORD), 422).shown


def test_a_user_is_made_read_changed_and_removed(admin: Pages, person: Person) -> None:
    form = person()
    made = admin.create_user(**form | {"rol": "administrador"})
    assert made["rol"] == "administrador"
    assert made in admin.users()
    assert admin.update_user(made["id"]) == made  # sent back as it was read
    changed = admin.update_user(made["id"], name="Otra", rol="cliente", password=PASSWORD + "!")
    assert changed == made | {"name": "Otra", "rol": "cliente"}
    assert admin.user(made["id"]) == changed
    admin.delete_user(made["id"])
    assert refused(lambda: admin.user(made["id"]), 404).body["code"] == "user_not_found"


def test_a_role_without_a_word_here_is_sent_back_as_it_was_read(server: Server, admin: Pages, person: Person) -> None:
    role = server.unique("role")
    body = {"name": role, "permissions": ["host:read"]}
    made = httpx2.post(f"{server.url}/api/v1/roles/", json=body, headers=server.admin_headers(), timeout=60)
    assert made.status_code == 201, made.text
    name = server.user(role=role)
    row = next(row for row in admin.users() if row["email"] == f"{name}@class.example")
    assert (row["rol"], row["name"]) == (role, name)
    assert admin.update_user(row["id"]) == row
    assert admin.update_user(row["id"], name="Otra")["rol"] == role
    assert "administrador" in refused(lambda: admin.update_user(row["id"], rol="jefe"), 422).shown


def test_two_people_of_the_same_name_at_two_places_get_two_accounts(admin: Pages, person: Person) -> None:
    form = person()
    admin.create_user(**form)
    other = admin.create_user(**form | {"email": form["email"].replace("class", "school")})
    assert other["name"] == form["name"]


# ---- VMs


def test_a_vm_of_the_form_lives(server: Server, admin: Pages) -> None:
    name = server.unique("Servidor Ñandú (piso 2) ")
    made = admin.create_vm(name=name, **TINY)
    wanted = {"name": name, "cores": 1, "ram": 128, "disk": 1, "os": "tiny", "status": "running"}
    assert made.items() >= wanted.items()
    assert {made["created_at"], made["updated_at"]} != {None}
    # All six as they were read, with another name: nothing is stopped, and whatever works on it is not in the way.
    renamed = admin.update_vm(made["id"], name=f"{name}!")
    assert renamed.items() >= (wanted | {"name": f"{name}!"}).items()
    assert next(row for row in admin.vms() if row["id"] == made["id"])["name"] == f"{name}!"
    # One request after the other, each while the one before still works: they wait.
    assert admin.update_vm(made["id"], status="stopped")["status"] == "stopped"
    assert admin.update_vm(made["id"], cores=2)["cores"] == 2
    grown = admin.update_vm(made["id"], ram=256, status="running")
    assert (grown["ram"], grown["status"]) == (256, "running")
    seen = brought(admin, made["id"], "running")
    assert (seen["cores"], seen["ram"], seen["name"]) == (2, 256, f"{name}!")
    admin.delete_vm(made["id"])
    refused(lambda: admin.vm(made["id"]), 404)
    assert made["id"] not in {row["id"] for row in admin.vms()}


def test_a_vm_that_is_to_be_stopped_is_not_booted(server: Server, admin: Pages) -> None:
    made = admin.create_vm(name=server.unique("vm"), **TINY | {"status": "stopped"})
    assert made["status"] == "stopped"
    changed = admin.update_vm(made["id"], cores=2, disk=2)
    assert (changed["cores"], changed["disk"], changed["status"]) == (2, 2, "stopped")
    assert admin.update_vm(made["id"], status="running")["status"] == "running"
    assert brought(admin, made["id"], "running")["cores"] == 2
    admin.delete_vm(made["id"])


def test_a_running_vm_keeps_its_sizes_and_the_page_says_why(server: Server, admin: Pages) -> None:
    made = admin.create_vm(name=server.unique("vm"), **TINY)
    brought(admin, made["id"], "running")
    error = refused(lambda: admin.update_vm(made["id"], cores=2), 409)
    assert (error.body["code"], error.body["field"]) == ("vm_must_be_stopped", "cores")
    assert "stop" in error.shown
    assert "os" in refused(lambda: admin.update_vm(made["id"], os="beos"), 422).shown
    admin.delete_vm(made["id"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ram": 1}, ("ram", "64", "1048576", "MB")),
        ({"cores": 0}, ("cores", "1", "128")),
        ({"cores": "many"}, ("cores", "1", "128")),
        ({"disk": 0}, ("disk", "1", "16384", "GB")),
        ({"ram": 64}, ("64 MiB", "tiny", "128")),
        ({"os": "CentOS"}, ("CentOS", "tiny")),
        ({"status": "sleepy"}, ("status", "running", "stopped")),
        ({"name": "<b>x</b>"}, ("name", "<")),
        ({"name": "bell\x07"}, ("name", "U+0007")),
        ({"name": ""}, ("name",)),
        ({"name": "x" * 101}, ("name", "100")),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_with_a_vm_is_shown(admin: Pages, wrong: dict[str, Any], said: tuple[str, ...]) -> None:
    before = len(admin.vms())
    error = refused(lambda: admin.create_vm(**{"name": "x"} | TINY | wrong), 422)
    assert all(word in error.shown for word in said), error.shown
    assert error.body["field"] == next(iter(wrong))
    assert len(admin.vms()) == before


# ---- WebSockets


def test_pages_of_the_own_origin_hear_of_everything(server: Server, own: OwnPages, person: Person) -> None:
    name = server.unique("Señal ")
    with own.listen("vms") as news, own.listen("users") as people:
        made = own.create_vm(name=name, **TINY)
        assert news.until("vm_created", id=made["id"]).keys() == made.keys()
        assert news.until("vm_updated", id=made["id"], status="running")["name"] == name
        own.update_vm(made["id"], name=f"{name}!")
        news.until("vm_updated", id=made["id"], name=f"{name}!")
        own.delete_vm(made["id"])
        assert news.until("vm_deleted", id=made["id"]).keys() == made.keys()
        user = own.create_user(**person())
        assert people.until("user_created", id=user["id"]) == user
        changed = own.update_user(user["id"], name="Otra")
        assert people.until("user_updated", id=user["id"], name="Otra") == changed
        own.delete_user(user["id"])
        assert people.until("user_deleted", id=user["id"]).keys() == user.keys()


def closed_with(pages: Pages, noun: str, **headers: str) -> int:
    with pages.listen(noun, **headers) as news, pytest.raises(ConnectionClosed) as closed:
        news.until("anything")
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


@pytest.mark.parametrize("noun", ["users", "vms"])
def test_sockets_stay_closed_without_a_cookie(nobody: Pages, admin: Pages, server: Server, noun: str) -> None:
    assert closed_with(nobody, noun) == 4401
    assert closed_with(admin, noun) == 4401  # its browser keeps no cookie across origins
    stranger = OwnPages(server.url)
    assert closed_with(stranger, noun) == 4401  # the site opens them before the login
    stranger.close()


@pytest.mark.parametrize("noun", ["users", "vms"])
def test_the_cookie_is_nothing_to_pages_of_others(own: OwnPages, noun: str) -> None:
    assert closed_with(own, noun, Origin="http://evil.example") == 4401
    assert closed_with(own, noun, Origin="null") == 4401
    with own.listen(noun, Origin="http://localhost:5173"):  # which the administrator has named
        pass


def test_the_cookie_opens_nothing_but_sockets(own: OwnPages) -> None:
    own.token = ""
    assert refused(own.vms, 401).body["code"] == "token_missing"


def test_a_socket_takes_the_token_in_the_header(server: Server, admin: Pages, person: Person) -> None:
    with admin.listen("users", Authorization=f"Bearer {admin.token}") as news:
        made = admin.create_user(**person())
        news.until("user_created", id=made["id"])
