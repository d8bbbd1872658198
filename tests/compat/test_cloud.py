"""The ``cloud`` API from its client's side, on every kind of database."""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.compat.cloud_client import CloudClient
from tests.compat.support import PASSWORD, Server

PATIENCE_S = 120
COOKIE = "parcela_session"
PLANTILLA: dict[str, Any] = {
    "topologia": {
        "nodes": [{"id": "n1", "label": "web", "x": 10, "y": 20}, {"id": "n2", "label": "db", "x": 200, "y": 20}],
        "edges": [{"id": "e1", "from": "n1", "to": "n2"}],
    },
    "recursos": {
        "n1": {"name": "web", "vcpu": 1, "ram_gb": 0.125, "disk_gb": 1, "os": "tiny", "flavour": None},
        "n2": {"name": "db", "vcpu": None, "ram_gb": None, "disk_gb": None, "os": "tiny", "flavour": "tiny"},
    },
    "subred": {"public_access": ["n1"]},
}
Enter = Callable[[], CloudClient]


@pytest.fixture
def enter(server: Server) -> Iterator[Enter]:
    """Somebody new, registered and logged in."""
    clients: list[CloudClient] = []

    def make() -> CloudClient:
        client = CloudClient(server.url)
        clients.append(client)
        email = f"{server.unique('nube')}@class.example"
        client.register(email, "Ana Quispe", PASSWORD)
        client.login(email, PASSWORD)
        return client

    yield make
    for client in clients:
        client.close()


def wait_for(client: CloudClient, slice_id: int, status: str) -> Any:
    """The details of a slice once it has a status."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = client.details(slice_id)
        if seen["status"] == status:
            return seen
        time.sleep(0.1)  # between two looks, as this API's clients did
    raise AssertionError(f"never {status}: {seen}")


def test_the_token_lives_in_a_cookie_that_scripts_cannot_read(server: Server) -> None:
    client = CloudClient(server.url)
    email = f"{server.unique('nube')}@class.example"
    made = client.register(email, "Ana Quispe", PASSWORD)
    assert (made["user"]["email"], made["user"]["full_name"]) == (email, "Ana Quispe")
    answer = client.raw("POST", "/auth/login", data={"email": email, "password": PASSWORD})
    token = client.cookies[COOKIE]
    assert token not in answer.text
    written = answer.headers["set-cookie"].lower()
    assert "httponly" in written
    assert "samesite=lax" in written
    assert client.slices() == []
    client.logout()
    assert COOKIE not in client.cookies
    client.cookies.set(COOKIE, token)
    assert client.call("GET", "/slices", 401)["code"] == "token_revoked"
    client.close()


def test_an_address_registers_once_and_wrong_passwords_open_nothing(server: Server) -> None:
    client = CloudClient(server.url)
    email = f"{server.unique('nube')}@class.example"
    client.register(email, "Ana", PASSWORD)
    assert client.register(email, "Ana", PASSWORD, expected=400)["code"] == "email_taken"
    assert client.login(email, "wrong", expected=401)["code"] == "bad_credentials"
    client.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://other.lab.example"},
    ],
    ids=str,
)
def test_pages_of_other_sites_write_nothing(enter: Enter, headers: dict[str, str]) -> None:
    client = enter()
    made = client.guardar(nombre="mine", **PLANTILLA)
    for method, path, body in (
        ("POST", "/templates/guardar", {"json": PLANTILLA}),
        ("PUT", f"/templates/{made['id']}", {"json": PLANTILLA}),
        ("DELETE", f"/templates/{made['id']}", {}),
        ("POST", "/slices", {"json": {"template_id": made["id"]}}),
        ("POST", "/deployments/trigger", {"json": {"template_id": made["id"]}}),
        ("POST", "/slices/1/destroy", {}),
        ("DELETE", "/slices/1/destroy", {}),
        ("GET", "/auth/logout", {}),
        ("POST", "/auth/login", {"data": {"email": "a", "password": "b"}}),
        ("POST", "/auth/register", {"data": {"email": "a@b.example", "full_name": "", "password": PASSWORD}}),
    ):
        refused = client.raw(method, path, headers=headers, **body)
        assert (refused.status_code, refused.json()["code"]) == (403, "foreign_origin"), (method, path)
    assert [one["id"] for one in client.mostrar() if one["propietario"] != "admin"] == [made["id"]]
    assert client.slices() == []


def test_pages_of_this_site_and_programs_may_write(server: Server, enter: Enter) -> None:
    client = enter()
    for headers in ({}, {"Origin": server.url}, {"Sec-Fetch-Site": "same-origin", "Origin": server.url}):
        assert client.raw("POST", "/templates/guardar", json=PLANTILLA, headers=headers).status_code == 201


def test_a_template_is_saved_shown_replaced_exported_and_removed(enter: Enter) -> None:
    client = enter()
    made = client.guardar(nombre="Dos servidores", descripcion="para la clase", **PLANTILLA)
    assert (made["nombre"], made["version"], made["perdido"]) == ("Dos servidores", 1, [])
    assert {one["name"] for one in made["recursos"].values()} == {"web", "db"}
    assert client.template(made["id"]) == made
    assert client.mostrar(made["id"]) == made
    assert made["id"] in {one["id"] for one in client.mostrar()}
    changed = deepcopy(PLANTILLA)
    changed["recursos"]["n2"]["name"] = "base"
    replaced = client.replace(made["id"], **changed)
    assert (replaced["nombre"], replaced["version"]) == ("Dos servidores", 2)
    exported = client.export(made["id"])
    assert exported.keys() == {"topologia", "recursos", "subred"}
    again = client.guardar(**exported)
    assert again["recursos"] == replaced["recursos"]
    client.remove(made["id"])
    assert client.template(made["id"], expected=404)["code"] == "template_not_found"


def test_everything_that_is_wrong_with_a_template_is_said(enter: Enter) -> None:
    wrong = deepcopy(PLANTILLA)
    wrong["recursos"]["n1"]["os"] = "beos"
    wrong["topologia"]["edges"][0]["to"] = "n9"
    error = enter().guardar(expected=422, **wrong)
    assert "topologia.edges[0].to" in {problem["where"] for problem in error["problems"]}


def test_what_the_document_cannot_hold_is_not_thrown_away(server: Server, enter: Enter) -> None:
    client = enter()
    made = client.guardar(**PLANTILLA)
    headers = {"Authorization": f"Bearer {client.cookies[COOKIE]}"}
    native = client.call("GET", f"/api/v1/templates/{made['id']}", headers=headers)
    native["document"]["vms"][0]["user_data"] = "#!/bin/sh\ntrue\n"
    body = {key: native[key] for key in ("name", "description", "document", "visibility")}
    client.call("PUT", f"/api/v1/templates/{made['id']}", headers=headers, json=body)
    assert client.template(made["id"])["perdido"] == ["vms[0].user_data"]
    assert client.replace(made["id"], expected=409, **PLANTILLA)["code"] == "template_beyond_cloud"


def test_a_slice_is_made_built_shown_and_destroyed(server: Server, enter: Enter) -> None:
    client = enter()
    template = client.guardar(nombre=server.unique("t"), **PLANTILLA)
    made = client.make_slice(template["id"], "lab 1")
    assert (made["status"], made["vm_count"]) == ("draft", 2)
    begun = client.trigger(slice_id=made["id"])
    assert begun["slice_id"] == made["id"]
    assert begun["deployment_id"] > 0
    seen = wait_for(client, made["id"], "running")
    assert {(vm["name"], vm["status"], vm["ram_gb"]) for vm in seen["vms"]} == {
        ("web", "running", 0.125),
        ("db", "running", 0.125),
    }
    assert made["id"] in {one["id"] for one in client.slices()}
    client.destroy(made["id"])
    wait_for(client, made["id"], "destroyed")
    assert client.slices() == []


def test_a_deployment_may_begin_at_the_template(enter: Enter) -> None:
    client = enter()
    template = client.guardar(**PLANTILLA)
    begun = client.trigger(template_id=template["id"], name="lab 2")
    assert wait_for(client, begun["slice_id"], "running")["name"] == "lab 2"
    client.destroy(begun["slice_id"])
    wait_for(client, begun["slice_id"], "destroyed")


def test_a_drawing_whose_ids_are_numbers(enter: Enter) -> None:
    client = enter()
    drawn: dict[str, Any] = {
        "topologia": {
            "nodes": [{"id": 1, "label": "web", "x": 10.5, "y": -20}, {"id": 2, "label": "db", "x": 0, "y": 0}],
            "edges": [{"id": "a1b2", "from": 1, "to": 2}],
        },
        "recursos": {
            "1": {"name": "web", "vcpu": "1", "ram_gb": "0.125", "disk_gb": "1", "os": "tiny", "flavour": ""},
            "2": {"name": "db", "vcpu": "", "ram_gb": "", "disk_gb": "", "os": "tiny", "flavour": "tiny"},
        },
        "subred": {"public_access": [1]},
    }
    begun = client.trigger(template_id=client.guardar(**drawn)["id"])
    seen = wait_for(client, begun["slice_id"], "running")
    assert {(vm["name"], vm["vcpu"], vm["ram_gb"]) for vm in seen["vms"]} == {("web", 1, 0.125), ("db", 1, 0.125)}
    gone = client.call("DELETE", f"/slices/{begun['slice_id']}/destroy", 202)
    assert gone["slice_id"] == begun["slice_id"]
    wait_for(client, begun["slice_id"], "destroyed")


def test_a_slash_too_many_and_a_form_with_the_name_are_no_matter(server: Server) -> None:
    client = CloudClient(server.url)
    email = f"{server.unique('nube')}@class.example"
    client.register(email, "Ana", PASSWORD)
    client.call("POST", "/auth/login", data={"email": email, "full_name": "Ana", "password": PASSWORD})
    for path in ("/slices/", "/flavours/", "/templates/mostrar_plantilla/"):
        assert isinstance(client.call("GET", path, follow_redirects=True), list)
    client.close()


def test_the_shipped_flavours_are_there(enter: Enter) -> None:
    sizes = {one["name"]: (one["vcpu"], one["ram_gb"], one["disk_gb"]) for one in enter().flavours()}
    assert (
        sizes.items()
        >= {
            "tiny": (1, 0.125, 1),
            "nano": (1, 1, 2),
            "mini": (1, 2, 3),
            "micro": (2, 2, 4),
            "small": (2, 4, 6),
            "medium": (4, 8, 8),
            "large": (8, 12, 10),
            "xlarge": (16, 16, 12),
        }.items()
    )


def test_nobody_sees_what_is_of_others(enter: Enter) -> None:
    owner, stranger = enter(), enter()
    template = owner.guardar(**PLANTILLA)
    made = owner.make_slice(template["id"], "mine")
    assert stranger.template(template["id"], expected=404)["code"] == "template_not_found"
    assert stranger.details(made["id"], expected=404)["code"] == "slice_not_found"
    stranger.destroy(made["id"], expected=404)
    stranger.trigger(slice_id=made["id"], expected=404)
    assert stranger.slices() == []
