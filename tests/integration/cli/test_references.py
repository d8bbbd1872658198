"""What people type for a thing: its id, its name, or digits that may be both."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from parcela.cli.client.client import Api, Place
from parcela.cli.client.credentials import CredentialFile
from tests.integration.cli.conftest import ADMIN, PASSWORD, Server, done
from tests.unit.cli.support import run

DOCUMENT = {"vms": [{"name": "a", "image": "tiny", "flavour": "tiny"}], "networks": [], "edges": []}
OTHER = "refs@lab.example"


@pytest.fixture
def api(admin: Server, tmp_path: Path) -> Iterator[Api]:
    """The API, as the administrator."""
    with closing(Api(Place(admin.url), CredentialFile(tmp_path / "api.json"))) as found:
        found.log_in(ADMIN, PASSWORD)
        yield found


@pytest.fixture
def template_id(api: Api) -> Iterator[int]:
    """A small template."""
    made = api.create("/templates/", {"name": "for refs", "document": DOCUMENT})
    yield made["id"]
    api.change("DELETE", f"/templates/{made['id']}")


def drafted(api: Api, template_id: int, name: str) -> dict[str, Any]:
    """A slice that is only drawn."""
    made: dict[str, Any] = api.create("/slices/", {"template_id": template_id, "name": name})
    return made


@pytest.fixture
def pair(api: Api, template_id: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """A slice, and another whose name is the id of the first."""
    first = drafted(api, template_id, "first of the pair")
    second = drafted(api, template_id, str(first["id"]))
    yield first, second
    for made in (first, second):
        run("slice", "destroy", f"id:{made['id']}", "--yes")


def states(api: Api, *slices: dict[str, Any]) -> list[str]:
    return [api.get(f"/slices/{made['id']}")["state"] for made in slices]


def test_digits_that_may_be_two_slices_destroy_neither(api: Api, pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    first, second = pair
    text = str(first["id"])
    refused = run("slice", "destroy", text, "--yes", "--json")
    assert (refused.code, refused.problem["code"]) == (6, "name_ambiguous")
    told = {item["where"]: item["what"] for item in refused.problem["problems"]}
    assert told == {
        f"#{first['id']}": f"slice {first['id']} 'first of the pair' (owner admin, draft)",
        f"#{second['id']}": f"slice {second['id']} '{text}' (owner admin, draft)",
    }
    shown = run("slice", "destroy", text, "--yes")
    assert f"'id:{text}'" in shown.err
    assert f"'name:{text}'" in shown.err
    assert f"#{second['id']}: slice {second['id']} '{text}'" in shown.err
    assert states(api, first, second) == ["draft", "draft"]


@pytest.mark.parametrize("said", [("#{}",), ("id:{}",), ("{}", "--id"), ("--id", "{}"), ("#{}", "--id")])
def test_an_id_is_said_so(api: Api, pair: tuple[dict[str, Any], dict[str, Any]], said: tuple[str, ...]) -> None:
    first, second = pair
    done(run("slice", "destroy", *(part.format(first["id"]) for part in said), "--yes"))
    assert states(api, first, second) == ["destroyed", "draft"]


def test_a_name_is_said_so(api: Api, pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    first, second = pair
    done(run("slice", "destroy", f"name:{first['id']}", "--yes"))
    assert states(api, first, second) == ["draft", "destroyed"]


def test_digits_with_one_meaning_work_and_are_told(api: Api, template_id: int) -> None:
    alone = drafted(api, template_id, "alone")
    by_id = done(run("slice", "destroy", str(alone["id"]), "--yes"))
    assert f"'{alone['id']}' is the id of slice {alone['id']} 'alone' (owner admin, draft)." in by_id.err
    named = drafted(api, template_id, "900000001")
    by_name = done(run("slice", "destroy", "900000001", "--yes"))
    assert f"'900000001' is the name of slice {named['id']}" in by_name.err
    own = drafted(api, template_id, str(named["id"] + 1))  # called by its own id: one thing, one meaning
    if own["id"] == named["id"] + 1:
        done(run("slice", "destroy", own["name"], "--yes"))
        assert states(api, own) == ["destroyed"]
    assert states(api, alone, named) == ["destroyed", "destroyed"]


def test_names_with_marks_are_reached(api: Api, template_id: int) -> None:
    other = drafted(api, template_id, "other")
    marked = [drafted(api, template_id, name) for name in (f"#{other['id']}", f"id:{other['id']}", "name:x", "#x")]
    for made in marked:
        done(run("slice", "destroy", f"name:{made['name']}", "--yes"))
    assert states(api, other, *marked) == ["draft", *["destroyed"] * 4]
    plain = drafted(api, template_id, "#x")
    done(run("slice", "destroy", "#x", "--yes"))
    done(run("slice", "destroy", f"#{other['id']}", "--yes"))
    assert states(api, other, plain) == ["destroyed", "destroyed"]


def test_an_id_that_is_not_there_is_no_name(api: Api, template_id: int) -> None:
    named = drafted(api, template_id, "900000002")
    for said in (("#900000002",), ("id:900000002",), ("900000002", "--id")):
        refused = run("slice", "destroy", *said, "--yes", "--json")
        assert (refused.code, refused.problem["code"]) == (4, "slice_not_found")
    assert run("slice", "destroy", "first", "--id", "--json").problem["code"] == "usage"
    done(run("slice", "destroy", "900000002", "--yes"))
    assert states(api, named) == ["destroyed"]


def test_twins_of_two_owners_are_both_shown(api: Api, admin: Server, tmp_path: Path) -> None:
    made = api.post("/users/", {"email": OTHER, "username": "refs", "password": "refs-refs", "role": "client"})
    with closing(Api(Place(admin.url), CredentialFile(tmp_path / "other.json"))) as other:
        other.log_in(OTHER, "refs-refs")
        body = {"name": "twin", "document": DOCUMENT, "visibility": "public"}
        theirs = other.create("/templates/", body)
        mine = api.create("/templates/", body)
        refused = run("template", "delete", "twin", "--yes", "--json")
        assert (refused.code, refused.problem["code"]) == (6, "name_ambiguous")
        assert [item["what"] for item in refused.problem["problems"]] == [
            f"template {theirs['id']} 'twin' (owner refs, public)",
            f"template {mine['id']} 'twin' (owner admin, public)",
        ]
        for template in (theirs, mine):
            done(run("template", "delete", f"#{template['id']}", "--yes"))
    api.change("DELETE", f"/users/{made['id']}")


def test_every_kind_of_thing_is_said_the_same_way(api: Api) -> None:
    """A thing of each kind whose name is the id of another of its kind."""
    flavour = api.get("/flavours/", limit=1)["items"][0]
    zone = api.get("/zones/", limit=1)["items"][0]
    sizes = {"vcpus": 1, "memory_mib": 128, "disk_gib": 1}
    api.create("/flavours/", {"name": str(flavour["id"]), **sizes})
    api.create("/zones/", {"name": str(zone["id"]), "provider": "simulated"})
    project = api.create("/projects/", {"name": "refs project"})
    api.create("/projects/", {"name": str(project["id"])})
    machine = api.create("/machines/", {"code": "REFS-1", "type": "PC"})
    api.create("/machines/", {"code": str(machine["id"]), "type": "PC"})
    for noun, found in (("flavour", flavour), ("zone", zone), ("project", project)):
        refused = run(noun, "delete", str(found["id"]), "--yes", "--json")
        assert (refused.code, refused.problem["code"]) == (6, "name_ambiguous"), noun
        done(run(noun, "delete", f"name:{found['id']}", "--yes"))
    done(run("project", "delete", "refs project", "--yes"))
    assert run("machine", "show", str(machine["id"]), "--json").problem["code"] == "name_ambiguous"
    assert run("report", str(machine["id"]), "--json").problem["code"] == "name_ambiguous"
    assert done(run("machine", "show", f"#{machine['id']}", "--json")).json["code"] == "REFS-1"
    assert done(run("machine", "show", "--id", str(machine["id"]), "--json")).json["code"] == "REFS-1"
    assert done(run("machine", "show", f"name:{machine['id']}", "--json")).json["id"] != machine["id"]


def test_accounts_roles_tokens_and_webhooks(api: Api) -> None:
    made = api.post("/users/", {"email": OTHER, "username": "refs2", "password": "refs-refs", "role": "client"})
    digits = f"0{made['id']:02}"  # usernames have three characters at least; after a zero, digits are a name
    twin = api.post(
        "/users/",
        {"email": "t@lab.example", "username": digits, "password": "refs-refs", "role": "client"},
    )
    project = api.create("/projects/", {"name": "refs members"})
    added = done(run("project", "add-member", "refs members", f"#{made['id']}", "--json")).json
    assert added["username"] == "refs2"
    assert done(run("project", "add-member", "refs members", digits, "--json")).json["username"] == digits
    removing = ("project", "remove-member", "refs members")
    assert done(run(*removing, f"id:{made['id']}", "--yes", "--json")).json["username"] == "refs2"
    assert done(run(*removing, str(twin["id"]), "--yes", "--json")).json["user_id"] == twin["id"]
    api.change("DELETE", f"/projects/{project['id']}")
    roles = {role["name"]: role["id"] for role in api.pages("/roles/")}
    listed = done(run("user", "list", "--role", f"#{roles['client']}", "--json")).json
    assert made["id"] in {user["id"] for user in listed}
    for user in (made, twin):
        done(run("user", "delete", f"#{user['id']}", "--yes"))
    first = api.post("/tokens/", {"name": "refs", "scopes": ["*"]})
    api.post("/tokens/", {"name": str(first["id"]), "scopes": ["*"]})
    assert run("token", "revoke", str(first["id"]), "--json").problem["code"] == "name_ambiguous"
    done(run("token", "revoke", f"name:{first['id']}"))
    assert "is the id of token" in done(run("token", "revoke", str(first["id"]))).err


def test_operations_have_numbers_only(api: Api, template_id: int) -> None:
    made = drafted(api, template_id, "for an operation")
    done(run("slice", "destroy", f"#{made['id']}", "--yes"))
    operation = api.get("/operations/", slice_id=made["id"], limit=1)["items"][0]["id"]
    for said in ((str(operation),), (f"#{operation}",), (f"id:{operation}",), ("--id", str(operation))):
        assert done(run("operation", "show", *said, "--json")).json["id"] == operation
    for wrong in ("x", "0", "name:1"):
        refused = run("operation", "show", wrong, "--json")
        assert (refused.code, refused.problem["code"]) == (2, "usage")


def test_images_flavours_and_zones_of_a_vm_are_said_so_too(api: Api) -> None:
    flavour = next(row for row in api.pages("/flavours/") if row["name"] == "tiny")
    image = next(row for row in api.pages("/images/") if row["name"] == "tiny")
    odd = api.create("/flavours/", {"name": str(flavour["id"]), "vcpus": 1, "memory_mib": 256, "disk_gib": 2})
    creating = ("vm", "create", "by-ids", "--image", f"id:{image['id']}", "--json")
    assert run(*creating, "--flavour", str(flavour["id"])).problem["code"] == "name_ambiguous"
    made = done(run(*creating, "--flavour", f"#{flavour['id']}")).json
    assert (made["os"], made["flavour"], made["ram"]) == ("tiny", "tiny", 128)
    assert done(run("vm", "delete", str(made["id"]), "--yes", "--json")).json["state"] == "succeeded"
    done(run("flavour", "delete", f"#{odd['id']}", "--yes"))


def test_a_label_of_digits_is_a_name_too(api: Api) -> None:
    first = done(run("vm", "create", "first-of-two", "--image", "tiny", "--flavour", "tiny", "--json")).json
    digits = str(first["id"])
    creating = ("vm", "create", "second-of-two", "--image", "tiny", "--flavour", "tiny", "--label", digits, "--json")
    second = done(run(*creating)).json
    refused = run("vm", "delete", digits, "--yes", "--json")
    assert (refused.code, refused.problem["code"]) == (6, "name_ambiguous")
    told = {item["where"]: item["what"] for item in refused.problem["problems"]}
    assert set(told) == {f"#{first['id']}", f"#{second['id']}"}
    assert f"label '{digits}'" in told[f"#{second['id']}"]
    done(run("vm", "delete", f"name:{digits}", "--yes"))
    assert api.get(f"/virtual-machines/{first['id']}")["status"] == "running"
    done(run("vm", "delete", digits, "--yes"))


def test_a_template_is_deployed_by_id(api: Api, template_id: int) -> None:
    made = api.create("/templates/", {"name": str(template_id), "document": DOCUMENT})
    refused = run("slice", "deploy", str(template_id), "--json")
    assert refused.problem["code"] == "name_ambiguous"
    launched = done(run("slice", "deploy", "--id", str(template_id), "--name", "by id", "--json")).json
    assert launched["slice"]["template"] == "for refs"
    assert json.loads(done(run("template", "export", f"name:{template_id}")).out)["name"] == str(template_id)
    name = f"{launched['slice']['id']}/a"
    told = done(run("vm", "stop", name))
    assert f"'{launched['slice']['id']}' is the id of slice {launched['slice']['id']} 'by id'." in told.err
    done(run("slice", "destroy", "by id", "--yes"))
    done(run("template", "delete", f"#{made['id']}", "--yes"))
