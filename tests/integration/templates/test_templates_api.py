import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from parcela.api.etags import etag_of
from parcela.api.routers import templates
from parcela.core.topology.document import dump_document
from parcela.core.topology.sample import one_vm_topology, sample_topology
from parcela.repositories.paging import PageRequest
from parcela.services.access import Caller
from parcela.services.compute.template_drafts import TemplateDraft
from tests.integration.catalogue.support import (
    ADMIN,
    ALICE,
    ALICE_ID,
    BOB,
    NOBODY,
    Client,
    Lab,
    open_client,
    open_lab,
    problem,
)
from tests.integration.catalogue.world import make_image

pytestmark = pytest.mark.anyio
SAMPLE = dump_document(sample_topology())
ONE_VM = dump_document(one_vm_topology())
CLOUD = {
    "topologia": {
        "nodes": [{"id": 1, "label": "A", "x": 0, "y": 0}, {"id": 2, "label": "B", "x": 10, "y": 0}],
        "edges": [{"id": "e1", "from": 1, "to": 2}],
    },
    "recursos": {
        "1": {"name": "a", "vcpu": 1, "ram_gb": 1, "disk_gb": 1, "os": "6.1", "flavour": "tiny"},
        "2": {"name": "b", "vcpu": None, "ram_gb": None, "disk_gb": None, "os": "tiny", "flavour": "tiny"},
    },
    "subred": {"public_access": ["2"]},
}


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[Client]:
    async with lab.uows.write() as uow:
        image = await make_image(uow, "tiny")
        image.os_version = "6.1"
        await uow.commit()
    async with open_client(lab, templates.router) as made:
        made.caller = ALICE
        yield made


async def create(client: Client, **changes: Any) -> Any:
    answer = await client.call("POST", "/templates/", json={"name": "T", "document": SAMPLE} | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_template_is_saved_and_read(lab: Lab, client: Client) -> None:
    made = await client.call("POST", "/templates/", json={"name": "Two routers", "document": SAMPLE})
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["owner"], body["owner_id"], body["version"], body["visibility"]) == ("alice", ALICE_ID, 1, "private")
    assert body["document"] == SAMPLE
    read = await client.call("GET", made.headers["location"].removeprefix("/api/v1"))
    assert read.json() == body
    items = (await client.call("GET", "/templates/")).json()["items"]
    assert body["allowed_actions"] == ["launch", "update", "share", "delete"]
    assert items == [{key: value for key, value in body.items() if key not in {"document", "gone", "allowed_actions"}}]
    async with lab.uows.read() as uow:
        events = await uow.events.since(0, limit=9)
    assert [(event.type, event.owner_id) for event in events] == [("template.created", ALICE_ID)]


async def test_a_changed_document_makes_a_version(client: Client) -> None:
    template = await create(client)
    path = f"/templates/{template['id']}"
    same = {"name": "T", "document": SAMPLE}
    assert (await client.call("PUT", path, json=same)).json() == template
    renamed = (await client.call("PUT", path, json=same | {"name": "U"})).json()
    assert (renamed["name"], renamed["version"]) == ("U", 1)
    # Defaults that are left out are the same document.
    sparse = {"vms": [{"name": "vm1", "image": "tiny", "flavour": "tiny"}]}
    assert (await client.call("PUT", path, json={"name": "U", "document": sparse})).json()["version"] == 2
    assert (await client.call("PUT", path, json={"name": "U", "document": ONE_VM})).json()["version"] == 2
    versions = (await client.call("GET", f"{path}/versions")).json()["items"]
    assert [(item["version"], item["created_by"]) for item in versions] == [(1, ALICE_ID), (2, ALICE_ID)]
    assert (await client.call("GET", f"{path}/versions/1")).json()["document"] == SAMPLE
    assert (await client.call("GET", f"{path}/versions/2")).json()["document"] == ONE_VM
    problem(await client.call("GET", f"{path}/versions/3"), 404, "template_version_not_found")
    problem(await client.call("GET", f"{path}/versions/{2**31}"), 422, "request_invalid")


async def test_every_problem_is_reported_at_once(client: Client) -> None:
    document = deepcopy(SAMPLE)
    document["vms"][0]["image"] = "nothing"
    document["vms"][1]["flavour"] = "nothing"
    document["edges"][0]["a"]["vm"] = "nobody"
    body = {"name": "T", "document": document}
    refused = problem(await client.call("POST", "/templates/", json=body), 422, "template_invalid")
    found = {(item["where"], item["code"]) for item in refused["problems"]}
    assert {
        ("vms[0].image", "unknown_image"),
        ("vms[1].flavour", "unknown_flavour"),
        ("edges[0].a.vm", "unknown_vm"),
    } <= found
    verdict = await client.call("POST", "/templates/validate", json={"document": document})
    assert verdict.status_code == 200
    assert verdict.json() == {"valid": False, "problems": refused["problems"]}
    fine = await client.call("POST", "/templates/validate", json={"document": SAMPLE})
    assert fine.json() == {"valid": True, "problems": []}


@pytest.mark.parametrize("document", [None, 1, "x", [], {"vms": 7}, {"vms": [{}]}, {"nodes": []}, {"vms": [None]}])
async def test_documents_of_the_wrong_shape(client: Client, document: object) -> None:
    body = {"name": "T", "document": document}
    refused = problem(await client.call("POST", "/templates/", json=body), 422, "template_invalid")
    verdict = (await client.call("POST", "/templates/validate", json={"document": document})).json()
    assert verdict == {"valid": False, "problems": refused["problems"]}
    assert verdict["problems"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a\x00"},
        {"name": "x" * 101},
        {"description": "\x00"},
        {"visibility": "secret"},
        {"more": 1},
        {"name": "\ud800"},
    ],
)
async def test_bad_fields_are_refused(client: Client, change: dict[str, Any]) -> None:
    body = json.dumps({"name": "T", "document": ONE_VM} | change)
    answer = await client.call("POST", "/templates/", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] in {"request_invalid", "template_invalid"}


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """How many functions are called in here: what a machine, however busy, does not change."""
    calls = [0]

    def count(*_: object) -> None:
        calls[0] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def crowd(count: int) -> list[tuple[str, dict[str, Any]]]:
    """Requests with far too many machines, or lists in lists."""
    many = {"vms": [{"name": f"vm{index}", "image": "tiny", "flavour": "tiny"} for index in range(count)]}
    nodes = [{"id": index, "label": "x", "x": 0, "y": 0} for index in range(count)]
    json_type = {"content-type": "application/json"}
    deep = '{"name": "T", "document": ' + "[" * 10 * count + "]" * 10 * count + "}"
    return [
        ("/templates/", {"json": {"name": "T", "document": many}}),
        ("/templates/validate", {"json": {"document": many}}),
        (
            "/templates/import",
            {
                "params": {"format": "cloud", "name": "T"},
                "json": {"topologia": {"nodes": nodes, "edges": []}, "recursos": {}},
            },
        ),
        *(
            (path, {"content": deep, "headers": json_type})
            for path in ("/templates/", "/templates/import", "/templates/validate")
        ),
    ]


async def test_the_work_of_refusing_hostile_documents_grows_no_faster_than_they_do(client: Client) -> None:
    costs = []
    for count in (1_000, 1_000, 10_000):  # the first one warms up
        cost = []
        for path, options in crowd(count):
            with counted_calls() as calls:
                await client.call("POST", path, **options)
            cost.append(calls[0])
        costs.append(cost)
    _, small, large = costs
    # Ten times as many machines are ten times the work at most, and a little for chance.
    assert [path for (path, _), less, more in zip(crowd(1), small, large, strict=True) if more > 12 * less] == []


async def test_hostile_documents_are_refused(client: Client) -> None:
    many = {"vms": [{"name": f"vm{index}", "image": "tiny", "flavour": "tiny"} for index in range(10_000)]}
    huge = problem(
        await client.call("POST", "/templates/", json={"name": "T", "document": many}), 413, "template_too_large"
    )
    assert huge["problems"][0]["where"] == "vms"
    verdict = (await client.call("POST", "/templates/validate", json={"document": many})).json()
    assert verdict["valid"] is False
    deep = '{"name": "T", "document": ' + "[" * 100_000 + "]" * 100_000 + "}"
    for path in ("/templates/", "/templates/import", "/templates/validate"):
        answer = await client.call("POST", path, content=deep, headers={"content-type": "application/json"})
        assert answer.status_code in {400, 422}
    nested = '{"name": "T", "document": ' + "[" * 500 + "]" * 500 + "}"
    for path in ("/templates/", "/templates/import"):
        answer = await client.call("POST", path, content=nested, headers={"content-type": "application/json"})
        # Either the body or, where more of it fits on the stack, the document is refused.
        assert (answer.status_code, answer.json()["code"]) in {(422, "template_invalid"), (422, "request_invalid")}
    nodes = [{"id": index, "label": "x", "x": 0, "y": 0} for index in range(10_000)]
    cloud = {"topologia": {"nodes": nodes, "edges": []}, "recursos": {}}
    query = {"format": "cloud", "name": "T"}
    problem(await client.call("POST", "/templates/import", params=query, json=cloud), 413, "template_too_large")


async def test_strangers_see_nothing(client: Client) -> None:
    template = await create(client)
    path = f"/templates/{template['id']}"
    for caller in (BOB, NOBODY):
        assert (await client.call("GET", "/templates/", caller)).json()["items"] == []
        assert (await client.call("GET", "/templates/", params={"owner_id": ALICE_ID})).json()["items"] == []
        for suffix in ("", "/versions", "/versions/1", "/export"):
            problem(await client.call("GET", path + suffix), 404, "template_not_found")
        body = {"name": "stolen", "document": ONE_VM}
        problem(await client.call("PUT", path, json=body), 404, "template_not_found")
        problem(await client.call("DELETE", path), 404, "template_not_found")
    problem(
        await client.call("POST", "/templates/", NOBODY, json={"name": "x", "document": ONE_VM}),
        403,
        "permission_missing",
    )
    assert (await client.call("GET", path, ALICE)).json() == template


async def test_public_templates_are_read_by_all_and_written_by_owners(client: Client) -> None:
    template = await create(client, visibility="public")
    path = f"/templates/{template['id']}"
    assert (await client.call("GET", path, BOB)).json() == template | {"allowed_actions": ["launch"]}
    assert [item["id"] for item in (await client.call("GET", "/templates/")).json()["items"]] == [template["id"]]
    problem(await client.call("DELETE", path), 403, "not_yours")
    problem(await client.call("PUT", path, json={"name": "x", "document": ONE_VM}), 403, "not_yours")
    renamed = await client.call("PUT", path, ADMIN, json={"name": "by admin", "document": SAMPLE})
    assert (renamed.json()["owner"], renamed.json()["visibility"]) == ("alice", "private")


async def test_scoped_tokens(client: Client) -> None:
    template = await create(client)
    path = f"/templates/{template['id']}"
    no_scope = _scoped(ALICE, "vm:create")
    problem(await client.call("GET", path, no_scope), 404, "template_not_found")
    problem(await client.call("GET", "/templates/"), 403, "scope_missing")
    reader = _scoped(ALICE, "template:read_all")
    assert (await client.call("GET", path, reader)).status_code == 200
    refused = problem(await client.call("DELETE", path), 403, "scope_missing")
    assert "'template:delete'" in refused["detail"]


def _scoped(caller: Caller, *scopes: str) -> Caller:
    return Caller(caller.user_id, caller.username, caller.role, caller.permissions, scopes=frozenset(scopes))


async def test_private_images_of_others_are_unknown(lab: Lab, client: Client) -> None:
    async with lab.uows.write() as uow:
        await make_image(uow, "secret", owner_id=BOB.user_id, sha256="1" * 64)
        await uow.commit()
    document = {"vms": [{"name": "a", "image": "secret", "flavour": "tiny"}]}
    refused = problem(
        await client.call("POST", "/templates/", json={"name": "x", "document": document}), 422, "template_invalid"
    )
    assert [item["code"] for item in refused["problems"]] == ["unknown_image"]
    assert (await client.call("POST", "/templates/", BOB, json={"name": "x", "document": document})).status_code == 201


async def test_if_match_and_delete(client: Client) -> None:
    template = await create(client)
    path = f"/templates/{template['id']}"
    seen = {"If-Match": etag_of((await client.call("GET", path)).content)}
    body = {"name": "T", "document": ONE_VM}
    assert (await client.call("PUT", path, json=body, headers=seen)).json()["version"] == 2
    problem(await client.call("PUT", path, json=body, headers=seen), 412, "changed_meanwhile")
    problem(await client.call("DELETE", path, headers=seen), 412, "changed_meanwhile")
    assert (await client.call("DELETE", path)).status_code == 204
    problem(await client.call("GET", path), 404, "template_not_found")


async def test_a_repeated_creation_gives_the_first_answer(client: Client) -> None:
    key = {"Idempotency-Key": "save 1"}
    body = {"name": "T", "document": SAMPLE}
    first = await client.call("POST", "/templates/", json=body, headers=key)
    again = await client.call("POST", "/templates/", json=body, headers=key)
    assert again.json() == first.json()
    assert len((await client.call("GET", "/templates/")).json()["items"]) == 1
    bobs = await client.call("POST", "/templates/", BOB, json=body, headers=key)
    assert (bobs.status_code, bobs.json()["owner"]) == (201, "bob")


async def test_native_export_is_import(client: Client) -> None:
    template = await create(client, name="Año / 1", description="d")
    exported = await client.call("GET", f"/templates/{template['id']}/export")
    assert exported.headers["content-disposition"] == 'attachment; filename="A-o-1.json"'
    assert exported.json() == {"name": "Año / 1", "description": "d", "document": SAMPLE}
    again = await client.call("POST", "/templates/import", json=exported.json())
    assert again.status_code == 201, again.text
    assert again.json()["document"] == SAMPLE
    bare = await client.call("POST", "/templates/import", params={"name": "bare"}, json=SAMPLE)
    assert (bare.json()["name"], bare.json()["document"]) == ("bare", SAMPLE)
    problem(await client.call("POST", "/templates/import", json=SAMPLE), 422, "template_name_missing")
    typed = await client.call("POST", "/templates/import", json={"name": 7, "document": SAMPLE})
    problem(typed, 422, "template_invalid")
    odd = await client.call("POST", "/templates/import", json={"name": "x", "document": SAMPLE, "owner": 1})
    problem(odd, 422, "template_invalid")


async def test_cloud_import_and_export(client: Client) -> None:
    query = {"format": "cloud", "name": "from cloud"}
    made = await client.call("POST", "/templates/import", params=query, json=CLOUD)
    assert made.status_code == 201, made.text
    vms = made.json()["document"]["vms"]
    assert [(vm["name"], vm["image"], vm["public_access"]) for vm in vms] == [("a", "tiny", False), ("b", "tiny", True)]
    path = f"/templates/{made.json()['id']}"
    back = await client.call("GET", f"{path}/export", params={"format": "cloud"})
    assert back.headers["x-lost-count"] == "0"
    again = await client.call("POST", "/templates/import", params=query, json=back.json())
    assert again.json()["document"] == made.json()["document"]
    native = await create(client)
    lossy = await client.call("GET", f"/templates/{native['id']}/export", params={"format": "cloud"})
    assert int(lossy.headers["x-lost-count"]) > 0
    assert "vms[1].forward" in lossy.headers["x-lost"]
    bad = await client.call("POST", "/templates/import", params=query, json={"topologia": 1})
    problem(bad, 422, "template_invalid")


async def test_an_older_version_can_be_exported(client: Client) -> None:
    template = await create(client)
    path = f"/templates/{template['id']}"
    await client.call("PUT", path, json={"name": "T", "document": ONE_VM})
    older = await client.call("GET", f"{path}/export", params={"version": 1})
    assert older.json()["document"] == SAMPLE
    problem(await client.call("GET", f"{path}/export", params={"version": 9}), 404, "template_version_not_found")


async def test_repositories_on_every_database(any_url: str, tmp_path: Path) -> None:
    async with open_lab(any_url, tmp_path) as lab:
        async with lab.uows.write() as uow:
            await make_image(uow, "tiny")
            for number in range(5):
                made = await lab.templates.create(uow, ALICE, TemplateDraft(f"ñ {number}", SAMPLE))
            await lab.templates.update(uow, ALICE, made["id"], TemplateDraft("z", ONE_VM, "d", "public"))
            await uow.commit()
        async with lab.uows.read() as uow:
            row = await lab.templates.get(uow, BOB, made["id"])
            assert (row["version"], row["document"], row["owner"]) == (2, ONE_VM, "alice")
            first = await lab.templates.page(uow, ALICE, PageRequest(limit=3, sort="-name"))
            second = await lab.templates.page(uow, ALICE, PageRequest(3, first.next_cursor, "-name"))
            names = [found["name"] for found in (*first.rows, *second.rows)]
            assert sorted(names) == ["z", *(f"ñ {number}" for number in range(4))]
            assert len((await lab.templates.page(uow, BOB, PageRequest())).rows) == 1
            assert (await lab.templates.version(uow, ALICE, made["id"], 1))["document"] == SAMPLE
            assert len((await lab.templates.versions(uow, ALICE, made["id"], PageRequest())).rows) == 2
        async with lab.uows.write() as uow:
            await lab.templates.delete(uow, ALICE, made["id"])
            await uow.commit()
