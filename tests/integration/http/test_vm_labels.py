"""VMs are called what people typed; their host names are made of it."""

import pytest
from sqlalchemy import text

from parcela.core.cookies import SESSION_COOKIE
from tests.integration.http.lab import Lab, problem

pytestmark = pytest.mark.anyio
VMS = "/virtual-machines/"
SIZE = {"os": "tiny", "flavour": "tiny"}


async def test_a_label_alone_gives_a_host_name_of_its_own(lab: Lab) -> None:
    body = SIZE | {"label": "Servidor N\u0303andú (2)"}
    first, second = [await lab.make(VMS, json=body) for _ in range(2)]
    assert [made["label"] for made in (first, second)] == ["Servidor Ñandú (2)"] * 2
    assert [made["name"] for made in (first, second)] == ["servidor-nandu-2", "servidor-nandu-2-2"]
    assert (await lab.make(VMS, "admin", json=body))["name"] == "servidor-nandu-2"  # of another owner
    assert (await lab.make(VMS, json=SIZE | {"label": "日本語"}))["name"] == "vm"
    assert (await lab.make(VMS, json=SIZE | {"label": "Web01"}))["name"] == "Web01"
    await lab.settle()


async def test_long_labels_and_names_of_deleted_vms(lab: Lab) -> None:
    words = "Ñ" + "long" * 24
    names = [(await lab.make(VMS, json=SIZE | {"label": words}))["name"] for _ in range(12)]
    assert len(set(names)) == 12
    assert all(len(name) <= 63 for name in names)
    gone = await lab.make(VMS, json=SIZE | {"label": "Once more"})
    await lab.settle()
    await lab.call("DELETE", f"{VMS}{gone['id']}")
    await lab.settle()
    assert (await lab.make(VMS, json=SIZE | {"label": "Once more"}))["name"] == gone["name"] == "once-more"
    await lab.settle()


async def test_a_running_vm_gets_another_label(lab: Lab) -> None:
    vm = await lab.vm()
    path = f"{VMS}{vm['id']}"
    assert (vm["label"], vm["status"]) == ("", "running")
    changed = await lab.call("PUT", path, json={"label": " Borde  1 "})
    assert changed.status_code == 200, changed.text
    seen = changed.json()
    assert (seen["label"], seen["name"], seen["status"], seen["operation_id"]) == (
        "Borde  1",
        vm["name"],
        "running",
        None,
    )
    sent_back = await lab.call("PUT", path, json={key: seen[key] for key in ("name", "label", "cores", "os", "status")})
    assert sent_back.json()["updated_at"] == seen["updated_at"]
    for query in ("?label=Borde%20%201", "?label=%20Borde%20%201%20", "?limit=200", "?sort=-label&limit=200"):
        listed = (await lab.call("GET", VMS + query)).json()["items"]
        assert [row["label"] for row in listed if row["id"] == vm["id"]] == ["Borde  1"]
    told = (await lab.call("GET", "/events", params={"type": "vm.changed", "limit": 200})).json()["items"]
    assert [event["data"] for event in told if event["vm_id"] == vm["id"]] == [{"label": "Borde  1"}]
    stop = problem(await lab.call("PUT", path, json={"name": "other", "label": "both"}), 409, "vm_must_be_stopped")
    assert [item["where"] for item in stop["problems"]] == ["body.name"]
    assert (await lab.call("GET", path)).json()["label"] == "Borde  1"
    assert (await lab.call("PUT", path, json={"label": ""})).json()["label"] == ""


async def test_a_label_changes_while_an_operation_works_on_the_vm(lab: Lab) -> None:
    operation = await lab.operation("held")
    changed = await lab.call("PUT", f"{VMS}{operation['vm_id']}", json={"label": "Meanwhile"})
    assert (changed.status_code, changed.json()["label"]) == (200, "Meanwhile"), changed.text
    assert changed.json()["operation_id"] == operation["id"]
    await lab.release(operation["id"])


@pytest.mark.parametrize("label", ["<b>", "a>b", "two\nlines", "bell\x07", "nul\x00", "x" * 101])
async def test_a_bad_label_changes_nothing(lab: Lab, label: str) -> None:
    vm = await lab.vm()
    before = await lab.counts()
    made = await lab.call("POST", VMS, json=SIZE | {"label": label})
    changed = await lab.call("PUT", f"{VMS}{vm['id']}", json={"label": label})
    for answer in (made, changed):
        assert answer.status_code in {400, 422}, answer.text
        assert [item["where"] for item in answer.json()["problems"]] == ["body.label"]
    assert await lab.counts() == before
    assert (await lab.call("GET", f"{VMS}{vm['id']}")).json()["label"] == ""


async def test_neither_name_nor_label(lab: Lab) -> None:
    for label in ("", "  "):
        refused = await lab.call("POST", VMS, json=SIZE | {"label": label})
        assert [item["where"] for item in refused.json()["problems"]] == ["body.name"], refused.text


async def test_labels_of_a_template_are_those_of_its_vms(lab: Lab) -> None:
    vms = [
        {"name": "vm-1", "label": "VM-001\n(Ubuntu)", "image": "tiny", "flavour": "tiny"},
        {"name": "plain", "image": "tiny", "flavour": "tiny"},
    ]
    template = await lab.template(document={"vms": vms})
    made = await lab.make("/slices/", json={"template_id": template["id"]})
    await lab.make(f"/slices/{made['id']}/deploy", status=202)
    await lab.settle()
    listed = (await lab.call("GET", f"/slices/{made['id']}/vms")).json()
    assert [(vm["name"], vm["label"]) for vm in listed] == [("vm-1", "VM-001 (Ubuntu)"), ("plain", "")]


async def test_a_template_with_tags_in_a_label_names_the_place(lab: Lab) -> None:
    def document(label: str) -> dict[str, object]:
        return {"vms": [{"name": "a", "label": label, "image": "tiny", "flavour": "tiny"}]}

    refused = await lab.call("POST", "/templates/", json={"name": "tags", "document": document("<img src=x>")})
    assert [item["where"] for item in problem(refused, 422, "template_invalid")["problems"]] == ["vms[0].label"]

    stored = await lab.template(document=document("img"))
    async with lab.services.uows.database.write_session() as session:  # as an older version has let it in
        statement = "UPDATE template_versions SET document = replace(document, '\"img\"', '\"<img>\"')"
        await session.execute(text(statement + " WHERE template_id = :id"), {"id": stored["id"]})
        await session.commit()
    kept = await lab.call("GET", f"/templates/{stored['id']}")
    assert kept.json()["document"]["vms"][0]["label"] == "<img>"
    refused = await lab.call("POST", "/slices/", json={"template_id": stored["id"]})
    assert [item["where"] for item in problem(refused, 422, "template_invalid")["problems"]] == ["vms[0].label"]


async def test_pages_call_a_vm_by_its_label(lab: Lab) -> None:
    vms = [{"name": "r1", "label": "Borde «1» & co.", "image": "tiny", "flavour": "tiny"}]
    template = await lab.template(document={"vms": vms})
    made = await lab.make("/slices/", json={"template_id": template["id"]})
    await lab.make(f"/slices/{made['id']}/deploy", status=202)
    await lab.settle()
    vm = (await lab.call("GET", f"/slices/{made['id']}/vms")).json()[0]
    cookie = {"Cookie": f"{SESSION_COOKIE}={lab.people['owner'].token}", "Accept": "text/html"}
    for path in (f"/slices/{made['id']}", f"/vms/{vm['id']}/console", f"/vms/{vm['id']}/confirm/reset"):
        page = await lab.http.get(path, headers=cookie)
        assert page.status_code == 200, page.text
        assert "Borde «1» &amp; co." in page.text
        assert "Borde «1» & co." not in page.text
    assert '<span class="hint">r1</span>' in (await lab.http.get(f"/slices/{made['id']}", headers=cookie)).text
