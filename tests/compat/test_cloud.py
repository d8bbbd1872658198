"""The older pages of ``cloud`` at work: drawings, slices that are really deployed, on every kind of database."""

import json
import re
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import httpx2
import pytest

from tests.compat.cloud_canvas import Canvas
from tests.compat.cloud_client import CloudBrowser, RefusedError
from tests.compat.support import PASSWORD, REQUEST_TIMEOUT_S, Server
from tests.integration.catalogue.disks import raw_disk

PATIENCE_S = 120
COOKIE = "parcela_session"
TINY: dict[str, Any] = {"flavour": "tiny", "cpu": 1, "ram": 0.125, "disk": 1, "image": "tiny"}
Enter = Callable[[], CloudBrowser]


@pytest.fixture
def enter(server: Server) -> Iterator[Enter]:
    """Somebody new, registered and logged in."""
    browsers: list[CloudBrowser] = []

    def make() -> CloudBrowser:
        browser = CloudBrowser(server.url)
        browsers.append(browser)
        email = f"{server.unique('nube')}@class.example"
        browser.register("Ana Quispe", email, PASSWORD)
        browser.login(email, PASSWORD)
        return browser

    yield make
    for browser in browsers:
        browser.close()


@pytest.fixture(scope="session")
def ubuntu(server: Server) -> str:
    """What an administrator has put there for the form's first choice: an older and a newer one; the newer."""
    for version in ("22.04", "24.04"):
        name = f"ubuntu-{version}"
        query = {"name": name, "os_type": "ubuntu", "os_version": version, "visibility": "public"}
        address = f"{server.url}/api/v1/images/"
        headers = server.admin_headers()
        made = httpx2.post(address, params=query, content=raw_disk(), headers=headers, timeout=REQUEST_TIMEOUT_S)
        assert made.status_code == 201, made.text
    return "ubuntu-24.04"


def pair(**form: Any) -> Canvas:
    """Two VMs of the same name, joined; the first has internet."""
    canvas = Canvas()
    ends = canvas.add(**TINY | {"internet": True} | form), canvas.add(**TINY | form)
    canvas.join(*ends)
    return canvas


def wait_for(browser: CloudBrowser, slice_id: int, status: str) -> dict[str, Any]:
    """The page of a slice once it has a status."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = browser.slice(slice_id)
        if seen["status"] == status:
            return seen
        time.sleep(0.1)  # between two looks, as people reload
    raise AssertionError(f"never {status}: {seen}")


def gone(browser: CloudBrowser, slice_id: int) -> None:
    """Wait until nothing of a slice is left on any host, so that its owner's quota is free."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if browser.fetch("GET", f"/slices/{slice_id}/details").json()["state"] == "destroyed":
            return
        time.sleep(0.1)  # the same
    raise AssertionError("never destroyed")


# ---- the session


def test_the_token_lives_in_a_cookie_that_scripts_cannot_read(enter: Enter) -> None:
    browser = enter()
    token = browser.cookies[COOKIE]
    assert browser.slices() == []
    program = {"Authorization": f"Bearer {token}"}
    assert browser.fetch("GET", "/slices", headers=program).json() == []
    browser.logout()
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, token)
    answer = browser.fetch("GET", "/slices")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")


def test_the_cookie_is_what_the_original_said_of_its_own(server: Server) -> None:
    email = f"{server.unique('nube')}@class.example"
    with httpx2.Client(base_url=server.url, timeout=REQUEST_TIMEOUT_S) as client:
        client.post("/auth/register", data={"full_name": "Ana", "email": email, "password": PASSWORD})
        answer = client.post("/auth/login", data={"email": email, "password": PASSWORD})
    written = next(line for line in answer.headers.get_list("set-cookie") if line.startswith(COOKIE)).lower()
    assert {"httponly", "samesite=lax", "path=/"} <= set(written.split("; "))
    assert "secure" not in written.split("; ")
    assert client.cookies[COOKIE] not in answer.text


FOREIGN = [
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://other.lab.example"},
]


@pytest.mark.parametrize("headers", [*FOREIGN, {"Origin": "https://evil.example"}, {"Origin": "null"}], ids=str)
def test_pages_of_other_sites_write_nothing(server: Server, enter: Enter, headers: dict[str, str]) -> None:
    browser = enter()
    template_id = browser.save("mine", pair())
    body = pair().body()
    with httpx2.Client(base_url=server.url, cookies=dict(browser.cookies), timeout=REQUEST_TIMEOUT_S) as script:
        for method, path, options in (
            ("POST", "/templates/guardar", {"json": body}),
            ("PUT", f"/templates/{template_id}", {"json": body}),
            ("DELETE", f"/templates/{template_id}", {}),
            ("POST", "/slices", {"json": {"template_id": template_id}}),
            ("POST", "/deployments/trigger", {"json": {"template_id": template_id}}),
            ("POST", "/slices/1/destroy", {}),
            ("DELETE", "/slices/1/destroy", {}),
            ("GET", "/auth/logout", {}),
            ("POST", "/auth/login", {"data": {"email": "a", "password": "b"}}),
            ("POST", "/auth/register", {"data": {"email": "a@b.example", "full_name": "", "password": PASSWORD}}),
        ):
            refused = script.request(method, path, headers=headers, **options)
            assert (refused.status_code, refused.json()["code"]) == (403, "foreign_origin"), (method, path)
    assert [row["template_id"] for row in browser.templates()] == [template_id]
    assert browser.slices() == []


def test_programs_that_are_no_browser_may_write(server: Server, enter: Enter) -> None:
    cookies = dict(enter().cookies)
    with httpx2.Client(base_url=server.url, cookies=cookies, timeout=REQUEST_TIMEOUT_S) as script:
        for headers in ({}, {"Origin": server.url}, {"Sec-Fetch-Site": "same-origin", "Origin": server.url}):
            assert script.post("/templates/guardar", json=pair().body(), headers=headers).status_code == 200
        for path in ("/slices/", "/flavours/", "/templates/mostrar_plantilla/"):  # a slash too many is no matter
            assert isinstance(script.get(path, follow_redirects=True).json(), list)
        assert isinstance(script.get("/slices?limite=5&anything=1").json(), list)  # as little as in the original


# ---- templates


def test_a_drawing_is_saved_shown_edited_exported_and_removed(server: Server, enter: Enter) -> None:
    browser = enter()
    canvas = pair()
    template_id = browser.save("Dos servidores", canvas, "para la clase")
    (row,) = browser.templates()
    assert (row["name"], row["description"], row["updated_last_at"]) == ("Dos servidores", "para la clase", None)
    assert (row["vm_count"], row["sum_vcpu"], row["sum_ram_gb"], row["sum_disk_gb"]) == (2, 2, 0.25, 2)
    seen = browser.template(template_id)["json_template"]
    assert [(node["id"], node["label"]) for node in seen["topologia"]["nodes"]] == [
        ("vm-1", "VM-001\n(tiny)"),
        ("vm-2", "VM-001\n(tiny)"),
    ]
    assert [(node["x"], node["y"]) for node in seen["topologia"]["nodes"]] == [(-120.5, 40), (-45.5, -40)]
    assert seen["topologia"]["edges"] == [{"id": "edge-vm-1-vm-2", "from": "vm-1", "to": "vm-2"}]
    assert seen["subred"] == {"public_access": ["vm-1"]}
    entry = {"name": "VM-001", "vcpu": 1, "ram_gb": 0.125, "disk_gb": 1, "os": "tiny", "flavour": "tiny"}
    assert seen["recursos"] == {"vm-1": entry, "vm-2": entry}

    edited = Canvas.load(seen)
    added = edited.add("Firewall", **TINY)
    assert added == "vm-3"
    edited.join("vm-2", added)
    edited.nodes[0] |= {"x": 7, "y": -8.25}
    browser.change(template_id, name="Tres", json_template=edited.stored())
    again = browser.template(template_id)
    assert (again["name"], again["description"], again["version"]) == ("Tres", "para la clase", 2)
    assert again["updated_last_at"] is not None
    assert [node["id"] for node in again["json_template"]["topologia"]["nodes"]] == ["vm-1", "vm-2", "vm-3"]
    assert (again["json_template"]["topologia"]["nodes"][0]["x"], again["sum_vcpu"]) == (7, 3)
    assert again["json_template"]["recursos"]["vm-3"]["name"] == "Firewall"

    browser.change(template_id, description="")
    unchanged = browser.template(template_id)
    assert (unchanged["name"], unchanged["description"], unchanged["version"]) == ("Tres", "", 2)
    assert unchanged["json_template"] == again["json_template"]
    assert json.loads(browser.export(template_id)) == again["json_template"]
    browser.remove(template_id)
    with pytest.raises(RefusedError) as refused:
        browser.template(template_id)
    assert (refused.value.status, refused.value.body["code"]) == (404, "template_not_found")


@pytest.mark.parametrize("shape", ["star", "ring", "tree", "bus", "mesh"])
def test_presets_are_plain_drawings(enter: Enter, shape: str) -> None:
    browser = enter()
    canvas = Canvas().preset(shape, 5, **TINY)
    seen = Canvas.load(browser.template(browser.save(shape, canvas))["json_template"])
    assert [(edge["from"], edge["to"]) for edge in seen.edges] == [(edge["from"], edge["to"]) for edge in canvas.edges]
    assert [said["name"] for said in seen.resources.values()] == [f"VM-00{number}" for number in range(1, 6)]


def test_a_file_that_was_exported_is_imported_again(enter: Enter) -> None:
    browser = enter()
    exported = browser.export(browser.save("one", pair()))
    other = enter()
    imported = other.save("copy", Canvas.load(json.loads(exported)))
    assert other.export(imported) == exported


def test_bare_drawings_and_other_spellings_are_read(enter: Enter) -> None:
    browser = enter()
    spots = [{"id": f"vm-{number}", "label": "pc", "position": {"x": number, "y": 0}} for number in (1, 2, 3)]
    bare = {
        "nodes": spots,
        "edges": [{"id": "edge-vm-1-vm-2", "from": "vm-1", "to": "vm-2"}, {"id": "e", "from": "vm-2", "to": "vm-3"}],
        "recursos": {ident: TINY | {"name": "pc", "internet": True} for ident in ("vm-1", "vm-2")},
        "metadata": {"zone": "zone1"},
    }
    for body in ({"nombre": "bare", **bare}, {"name": "bare", "descripcion": "", "json_template": bare}):
        saved = browser.fetch("POST", "/templates/guardar", body).json()
        assert saved["nombre"] == "bare"
        seen = Canvas.load(browser.template(saved["template_id"])["json_template"])
        assert [(node["id"], node["x"]) for node in seen.nodes] == [("vm-1", 1), ("vm-2", 2)]
        assert len(seen.edges) == 1
        assert all(said["internet"] for said in seen.resources.values())


def test_ids_of_other_editors_come_back_as_they_were_typed(enter: Enter) -> None:
    browser = enter()
    drawn: dict[str, Any] = {
        "topologia": {
            "nodes": [{"id": 1, "label": "web", "x": 10.5, "y": -20}, {"id": "b", "label": "db", "x": 0, "y": 0}],
            "edges": [{"id": 7, "from": 1, "to": "b"}],
        },
        "recursos": {
            "1": {"name": "web", "vcpu": "1", "ram_gb": "0.125", "disk_gb": "1", "os": "tiny", "flavour": ""},
            "b": {"name": "db", "vcpu": "", "ram_gb": "", "disk_gb": "", "os": "tiny", "flavour": "tiny"},
        },
        "subred": {"public_access": ["1"]},
    }
    saved = browser.fetch("POST", "/templates/guardar", {"slice_name": "numbers"} | drawn).json()
    seen = browser.template(saved["template_id"])["json_template"]
    assert seen["topologia"] == drawn["topologia"]
    assert seen["subred"] == {"public_access": [1]}
    assert seen["recursos"]["1"]["flavour"] is None


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "flavour": (
        lambda body: body["recursos"]["vm-1"].update(flavour="huge"),
        r"^recursos\.vm-1\.flavour: There is no flavour 'huge'; there are: .*small.*tiny",
    ),
    "image": (
        lambda body: body["recursos"]["vm-2"].update(image="BeOS"),
        r"^recursos\.vm-2\.os: There is no image 'BeOS' that you may use; there are: .*tiny",
    ),
    "edge": (
        lambda body: body["topologia"]["edges"][0].update(to="vm-9"),
        r"^topologia\.edges\[0\]\.to: There is no node of this id\.",
    ),
    "name": (
        lambda body: body["recursos"]["vm-1"].update(name="<img src=x>"),
        r"^recursos\.vm-1\.name: A label has 1 to 100 printable characters, without < and >; < is not allowed\.",
    ),
    "label": (
        lambda body: body["topologia"]["nodes"][1].update(label="VM\n<script>"),
        r"^topologia\.nodes\[1\]\.label: A label has .* without < and >",
    ),
    "cpu": (lambda body: body["recursos"]["vm-1"].update(cpu="two"), r"^recursos\.vm-1\.cpu: This must be a number\."),
    "twice": (
        lambda body: body["topologia"]["nodes"][1].update(id="vm-1"),
        r"^topologia\.nodes\[1\]\.id: Another node has the same id\.",
    ),
    "nothing": (lambda body: body.update(recursos={}), r"^topologia\.nodes: A template needs at least one VM\."),
    "no document": (lambda body: body.clear(), r"^document: The object is missing\."),
    "title": (lambda body: body.update(slice_name="<b>"), r"^body\.slice_name: A label has .* < is not allowed\."),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_first_thing_that_is_wrong_stands_in_detail(enter: Enter, what: str) -> None:
    spoil, expected = WRONG[what]
    browser = enter()
    template_id = browser.save("mine", pair())
    body = deepcopy(pair().body())
    spoil(body)
    answers = [
        browser.fetch("POST", "/templates/guardar", body),
        browser.fetch("PUT", f"/templates/{template_id}", body),
    ]
    if what == "no document":
        answers.pop()  # a change of nothing
    for answer in answers:
        assert answer.status_code == (422 if what == "title" else 400)
        assert re.search(expected, answer.json()["detail"]), answer.json()["detail"]
    assert [row["version"] for row in browser.templates()] == [1]


def test_words_for_images_find_the_newest_that_there_is(enter: Enter, ubuntu: str) -> None:
    browser = enter()
    canvas = Canvas()
    for image in ("Ubuntu", "UBUNTU 22.04", "tInY"):
        canvas.add(image=image)
    template_id = browser.save("images", canvas)
    entries = browser.template(template_id)["json_template"]["recursos"]
    assert [entry["os"] for entry in entries.values()] == ["ubuntu", "ubuntu 22.04", "tiny"]
    assert (entries["vm-1"]["vcpu"], entries["vm-1"]["ram_gb"], entries["vm-1"]["disk_gb"]) == (2, 4, 6)
    program = {"Authorization": f"Bearer {browser.cookies[COOKIE]}"}
    native = browser.fetch("GET", f"/api/v1/templates/{template_id}", headers=program).json()["document"]["vms"]
    assert [vm["image"] for vm in native] == [ubuntu, "ubuntu-22.04", "tiny"]


def test_what_the_document_cannot_hold_is_not_thrown_away(enter: Enter) -> None:
    browser = enter()
    template_id = browser.save("mine", pair())
    headers = {"Authorization": f"Bearer {browser.cookies[COOKIE]}"}
    native = browser.fetch("GET", f"/api/v1/templates/{template_id}", headers=headers).json()
    native["document"]["vms"][0]["user_data"] = "#!/bin/sh\ntrue\n"
    body = {key: native[key] for key in ("name", "description", "document", "visibility")}
    assert browser.fetch("PUT", f"/api/v1/templates/{template_id}", body, headers).status_code == 200
    seen = browser.template(template_id)
    assert seen["perdido"] == ["vms[0].user_data"]
    browser.change(template_id, name="renamed", json_template=seen["json_template"])  # as it was read
    assert browser.template(template_id)["perdido"] == ["vms[0].user_data"]
    seen["json_template"]["topologia"]["nodes"][0]["x"] = 77
    with pytest.raises(RefusedError) as refused:
        browser.change(template_id, json_template=seen["json_template"])
    assert (refused.value.status, refused.value.body["code"]) == (409, "template_beyond_cloud")
    assert refused.value.detail == "vms[0].user_data: Would be lost."
    browser.change(template_id, name="another name")  # throws nothing away


# ---- slices


def test_a_template_is_deployed_looked_at_and_given_back(server: Server, enter: Enter) -> None:
    browser = enter()
    canvas = pair()
    canvas.add("Web <-> DB".replace("<->", "y"), **TINY)
    template_id = browser.save(server.unique("t"), canvas, "para la clase")
    slice_id = browser.launch(template_id)
    (row,) = browser.slices()
    assert row["name"].endswith("-20261128185500")
    assert row["description"].startswith("para la clase (Zone: ")
    seen = wait_for(browser, slice_id, "RUNNING")
    assert all(vm["status"] == "RUNNING" and vm["worker_ip"] for vm in seen["vms"].values())
    assert [vm["name"] for vm in seen["raw"]["vms"]] == ["VM-001", "VM-001", "Web y DB"]
    assert [vm["hostname"] for vm in seen["raw"]["vms"]] == ["VM-001", "vm-001-2", "web-y-db"]
    assert (seen["vlans"], seen["ports"]) == (1, {})
    program = {"Authorization": f"Bearer {browser.cookies[COOKIE]}"}
    vm_id = seen["vms"]["vm-3"]["vm_id"]
    named = browser.fetch("PUT", f"/api/v1/virtual-machines/{vm_id}", {"label": "Renamed since"}, program)
    assert named.status_code in {200, 202}, named.text
    again = browser.slice(slice_id)["vms"]["vm-3"]
    assert (again["vm_id"], again["label"]) == (vm_id, "Renamed since")  # the page finds it as before
    console = browser.open(f"/vnc/{seen['vms']['vm-1']['vm_id']}")
    assert (console.status_code, "<html" in console.text) == (200, True)
    assert browser.open(f"/projects/{slice_id}").url.path == f"/slices/{slice_id}"
    assert browser.destroy(slice_id)
    gone(browser, slice_id)


def test_a_slice_may_be_made_first_and_built_then(server: Server, enter: Enter) -> None:
    browser = enter()
    template_id = browser.save(server.unique("t"), pair())
    made = browser.fetch("POST", "/slices", {"name": "lab 1", "template_id": template_id, "az_hint": "nowhere"})
    assert made.status_code == 201
    body = made.json()
    assert (body["name"], body["status"], body["vm_count"]) == ("lab 1", "PENDING", 2)
    begun = browser.fetch("POST", "/deployments/trigger", {"slice_id": body["slice_id"]}).json()
    assert (begun["slice_id"], begun["worker_job_id"]) == (body["slice_id"], begun["deployment_id"])
    wait_for(browser, body["slice_id"], "RUNNING")
    answer = browser.fetch("DELETE", f"/slices/{body['slice_id']}/destroy")
    assert (answer.status_code, answer.json()["slice_id"]) == (200, body["slice_id"])
    assert browser.slices() == []
    gone(browser, body["slice_id"])


def test_zones_are_hinted_at(server: Server, enter: Enter) -> None:
    headers, name = server.admin_headers(), server.unique("Zone ")
    address = f"{server.url}/api/v1/zones/"
    zones = httpx2.get(address, headers=headers, timeout=REQUEST_TIMEOUT_S).json()["items"]
    first = zones[0]["name"]
    zone = {"name": name, "provider": zones[0]["provider"]}
    made = httpx2.post(address, json=zone, headers=headers, timeout=REQUEST_TIMEOUT_S)
    assert made.status_code == 201, made.text
    number = made.json()["id"]
    browser = enter()
    template_id = browser.save("zones", pair())
    hints = {name.upper(): name, f"zone{number}": name, number: name, str(number): name, "zone999": first, None: first}
    for hint, expected in hints.items():
        body = {"template_id": template_id, "name": "in a zone", "az_hint": hint}
        slice_id = browser.fetch("POST", "/slices", body).json()["slice_id"]
        assert browser.slices()[0]["slice_id"] == slice_id
        assert browser.slices()[0]["description"] == f"Zone: {expected}", hint


def test_long_names_of_slices_keep_the_digits_that_tell_them_apart(enter: Enter) -> None:
    browser = enter()
    template_id = browser.save("n" * 100, pair())
    body = {"template_id": template_id, "name": "n" * 100 + "-20261128185500"}
    name = browser.fetch("POST", "/slices", body).json()["name"]
    assert len(name) <= 100
    assert name.startswith("nnn")
    assert name.endswith("-20261128185500")
    refused = browser.fetch("POST", "/slices", body | {"name": "<b>" + "n" * 110})
    assert (refused.status_code, refused.json()["detail"][:11]) == (422, "body.name: ")


def test_the_shipped_flavours_are_there(enter: Enter) -> None:
    assert (
        enter().flavours().items()
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
    template_id = owner.save("mine", pair())
    slice_id = owner.fetch("POST", "/slices", {"template_id": template_id, "name": "mine"}).json()["slice_id"]
    for method, path, body in (
        ("GET", f"/templates/{template_id}", None),
        ("GET", f"/templates/{template_id}/export", None),
        ("PUT", f"/templates/{template_id}", {"name": "stolen"}),
        ("DELETE", f"/templates/{template_id}", None),
        ("POST", "/slices", {"template_id": template_id}),
        ("POST", "/deployments/trigger", {"template_id": template_id, "name": "mine"}),
        ("POST", "/deployments/trigger", {"slice_id": slice_id}),
        ("GET", f"/slices/{slice_id}/details", None),
        ("POST", f"/slices/{slice_id}/destroy", None),
    ):
        answer = stranger.fetch(method, path, body)
        assert (answer.status_code, answer.json()["code"][-9:]) == (404, "not_found"), (method, path)
    assert stranger.templates() == stranger.slices() == []
    assert [row["template_id"] for row in owner.templates()] == [template_id]
