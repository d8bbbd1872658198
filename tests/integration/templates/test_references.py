"""Images and flavours that templates use are renamed, removed and replaced: from the outside, on every database."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from parcela.core.errors import ParcelaError
from parcela.core.settings import Settings
from parcela.core.topology.references import Reference, ReferenceKind
from tests.integration.catalogue.disks import raw_disk
from tests.integration.http.lab import Lab, Person, make_settings, open_lab, problem, started

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(any_url: str, migrated: Path, tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "installation", migrated, DATABASE_URL=any_url)


@pytest.fixture
async def lab(settings: Settings, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(settings) as made:
        yield made


async def public_image(lab: Lab, name: str) -> dict[str, Any]:
    return await lab.make("/images/", "admin", params={"name": name, "visibility": "public"}, content=raw_disk())


async def flavour(lab: Lab, name: str, memory_mib: int = 128) -> dict[str, Any]:
    body = {"name": name, "vcpus": 1, "memory_mib": memory_mib, "disk_gib": 1}
    return await lab.make("/flavours/", "admin", json=body)


def document(image: str, size: str | None, *names: str) -> dict[str, Any]:
    sizes = {"flavour": size} if size else {"vcpus": 1, "memory_mib": 128, "disk_gib": 1}
    return {"vms": [{"name": name, "image": image, **sizes} for name in names or ("web",)]}


async def rename(lab: Lab, path: str, name: str, by: str = "admin") -> None:
    answer = await lab.call("PATCH", path, by, json={"name": name})
    assert answer.status_code == 200, answer.text


def named(shown: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {(vm["image"], vm["flavour"]) for vm in shown["vms"]}


async def launched(lab: Lab, template_id: int, by: str = "owner", **order: Any) -> list[dict[str, Any]]:
    """The VMs of a slice that was made of a template and runs."""
    made = await lab.make("/slices/", by, json={"template_id": template_id, **order})
    await lab.make(f"/slices/{made['id']}/deploy", by, 202)
    await lab.settle()
    assert (await lab.call("GET", f"/slices/{made['id']}", by)).json()["state"] == "running"
    return list((await lab.call("GET", f"/slices/{made['id']}/vms", by)).json())


async def test_a_rename_breaks_no_template(lab: Lab) -> None:
    image, size = await public_image(lab, "debian"), await flavour(lab, "lecture")
    made = await lab.template(document=document("debian", "lecture"))
    path = f"/templates/{made['id']}"
    await lab.call("PUT", path, json={"name": made["name"], "document": document("debian", "lecture", "a", "b")})
    before = (await lab.call("GET", path)).headers["etag"]
    await rename(lab, f"/images/{image['id']}", "debian-12")
    await rename(lab, f"/flavours/{size['id']}", "seminar")
    other = await public_image(lab, "debian")  # takes the old name, and nothing else
    await flavour(lab, "lecture", memory_mib=256)

    now = {("debian-12", "seminar")}
    shown = await lab.call("GET", path)
    assert named(shown.json()["document"]) == now
    assert shown.headers["etag"] != before
    for number in (1, 2):
        assert named((await lab.call("GET", f"{path}/versions/{number}")).json()["document"]) == now
        exported = (await lab.call("GET", f"{path}/export", params={"version": number})).json()
        assert named(exported["document"]) == now
    cloud = (await lab.call("GET", f"{path}/export", params={"format": "cloud"})).json()
    assert {(vm["os"], vm["flavour"]) for vm in cloud["recursos"].values()} == now
    older = (await lab.http.get("/templates/mostrar_plantilla", headers=lab.people["owner"].headers)).json()
    assert [(row["vm_count"], row["sum_ram_gb"]) for row in older] == [(2, 0.25)]
    for number in (2, 1):
        vms = await launched(lab, made["id"], template_version=number)
        assert {(vm["os"], vm["flavour"], vm["ram"]) for vm in vms} == {("debian-12", "seminar", 128)}

    body = {"name": made["name"], "document": shown.json()["document"]}
    assert (await lab.call("PUT", path, json=body)).json()["version"] == 2  # what is shown is what is there
    problem(await lab.call("PUT", path, headers={"If-Match": before}, json=body), 412, "changed_meanwhile")
    # The old names mean the other things now, to who writes them.
    body = {"name": made["name"], "document": document("debian", "lecture")}
    assert (await lab.call("PUT", path, json=body)).json()["version"] == 3
    assert {(vm["os"], vm["ram"]) for vm in await launched(lab, made["id"])} == {("debian", 256)}
    assert (await lab.call("GET", f"/images/{other['id']}")).json()["name"] == "debian"


async def test_names_are_exchanged(lab: Lab) -> None:
    first, second = await public_image(lab, "first"), await public_image(lab, "second")
    pair = {"vms": document("first", None, "a")["vms"] + document("second", None, "b")["vms"]}
    made = await lab.template(document=pair)
    await rename(lab, f"/images/{first['id']}", "third")
    await rename(lab, f"/images/{second['id']}", "first")
    await rename(lab, f"/images/{first['id']}", "second")
    shown = (await lab.call("GET", f"/templates/{made['id']}")).json()["document"]
    assert [vm["image"] for vm in shown["vms"]] == ["second", "first"]
    assert {vm["name"]: vm["os"] for vm in await launched(lab, made["id"])} == {"a": "second", "b": "first"}


async def test_what_templates_use_is_removed_only_by_force(lab: Lab) -> None:
    image, size = await public_image(lab, "exam"), await flavour(lab, "exam-size")
    made = await lab.template(document=document("exam", "exam-size"))
    await lab.template("stranger", document=document("exam", "exam-size"))
    await rename(lab, f"/images/{image['id']}", "exam of June")
    for noun, path in (("image", f"/images/{image['id']}"), ("flavour", f"/flavours/{size['id']}")):
        refused = problem(await lab.call("DELETE", path, "admin"), 409, f"{noun}_in_use")
        assert f"The template '{made['name']}' uses it." in {item["what"] for item in refused["problems"]}
        assert len(refused["problems"]) == 2
        assert (await lab.call("GET", path, "admin")).status_code == 200
        assert (await lab.call("DELETE", path, "admin", params={"force": "true"})).status_code == 204
    await flavour(lab, "exam-size")
    refused = problem(await lab.call("POST", "/slices/", json={"template_id": made["id"]}), 422, "template_invalid")
    assert [(item["where"], item["code"]) for item in refused["problems"]] == [
        ("vms[0].image", "image_gone"),
        ("vms[0].flavour", "flavour_gone"),
    ]
    assert "The image 'exam of June' of the VM 'web' does not exist any more." in refused["detail"]
    for path in (f"/templates/{made['id']}", f"/templates/{made['id']}/versions/1"):
        gone = (await lab.call("GET", path)).json()["gone"]
        assert gone == refused["problems"]  # said before anybody launches it
    # Another image of that name, which anybody may have made, does not take its place by itself.
    await public_image(lab, "exam of June")
    problem(await lab.call("POST", "/slices/", json={"template_id": made["id"]}), 422, "template_invalid")
    path = f"/templates/{made['id']}"
    shown = (await lab.call("GET", path)).json()
    assert named(shown["document"]) == {("exam of June", "exam-size")}
    saved = await lab.call("PUT", path, json={"name": made["name"], "document": shown["document"]})
    assert saved.json()["version"] == 2
    assert len(await launched(lab, made["id"])) == 1


async def test_older_versions_hold_nothing(lab: Lab) -> None:
    image = await public_image(lab, "spring")
    made = await lab.template(document=document("spring", "tiny"))
    body = {"name": made["name"], "document": document("tiny", "tiny")}
    assert (await lab.call("PUT", f"/templates/{made['id']}", json=body)).json()["version"] == 2
    assert (await lab.call("DELETE", f"/images/{image['id']}", "admin")).status_code == 204
    order = {"template_id": made["id"], "template_version": 1}
    refused = problem(await lab.call("POST", "/slices/", json=order), 422, "template_invalid")
    assert [item["code"] for item in refused["problems"]] == ["image_gone"]
    assert len(await launched(lab, made["id"])) == 1
    gone = await lab.template(document=document("tiny", "tiny"))
    assert (await lab.call("DELETE", f"/templates/{gone['id']}")).status_code == 204


async def test_a_refusal_names_no_template_that_is_not_seen(lab: Lab) -> None:
    rights = {"name": "librarian", "permissions": ["catalogue:read", "catalogue:write", "template:create"]}
    await lab.make("/roles/", "admin", json=rights)
    librarian = await lab.user(role="librarian")
    await lab.enter("librarian", librarian["username"], librarian["id"])
    image = await public_image(lab, "shared")
    secrets = [await lab.template(name=f"secret {number}", document=document("shared", "tiny")) for number in range(2)]
    shown = await lab.template("stranger", name="for all", visibility="public", document=document("shared", "tiny"))
    own = await lab.template("librarian", name="own", document=document("shared", "tiny"))
    refused = problem(await lab.call("DELETE", f"/images/{image['id']}", "librarian"), 409, "image_in_use")
    assert [(item["where"], item["what"]) for item in refused["problems"]] == [
        (f"templates[{shown['id']}]", "The template 'for all' uses it."),
        (f"templates[{own['id']}]", "The template 'own' uses it."),
        ("templates", "2 other templates use it."),
    ]
    assert "secret" not in json.dumps(refused)
    assert all(str(one["id"]) not in {item["where"] for item in refused["problems"]} for one in secrets)
    token = await lab.token("librarian", "catalogue:write", "catalogue:read")
    lab.people["narrow"] = Person("librarian", librarian["id"], token["token"])
    refused = problem(await lab.call("DELETE", f"/images/{image['id']}", "narrow"), 409, "image_in_use")
    assert [item["what"] for item in refused["problems"]] == ["4 other templates use it."]


async def test_the_name_of_a_hidden_image_is_not_told(lab: Lab) -> None:
    image = await lab.image()
    made = await lab.template(visibility="public", document=document(image["name"], None))
    await rename(lab, f"/images/{image['id']}", "for-the-exam-of-june", by="owner")
    path = f"/templates/{made['id']}"
    assert (await lab.call("GET", path)).json()["document"]["vms"][0]["image"] == "for-the-exam-of-june"
    assert (await lab.call("GET", path, "stranger")).json()["document"]["vms"][0]["image"] == image["name"]
    refused = await lab.call("POST", "/slices/", "stranger", json={"template_id": made["id"]})
    what = problem(refused, 422, "template_invalid")["problems"][0]["what"]
    assert what == f"There is no image '{image['name']}' that you may use; there are: tiny."
    assert len(await launched(lab, made["id"])) == 1


async def test_a_hidden_image_of_a_name_is_not_taken_for_another(lab: Lab) -> None:
    image = await lab.image()
    made = await lab.template(visibility="public", document=document(image["name"], None))
    await rename(lab, f"/images/{image['id']}", "away", by="owner")
    await public_image(lab, image["name"])  # everybody may use this one; the template does not mean it
    refused = await lab.call("POST", "/slices/", "stranger", json={"template_id": made["id"]})
    assert problem(refused, 422, "template_invalid")["problems"][0]["code"] == "unknown_image"
    assert {vm["os"] for vm in await launched(lab, made["id"])} == {"away"}


async def test_a_document_of_another_installation_brings_no_ids(lab: Lab) -> None:
    image = await public_image(lab, "portable")
    made = await lab.template(document=document("portable", "tiny"))
    exported = (await lab.call("GET", f"/templates/{made['id']}/export")).json()
    assert "_id" not in json.dumps(exported)
    forged = {"vms": [{"name": "web", "image": "tiny", "image_id": image["id"], "flavour": "tiny"}]}
    refused = await lab.call("POST", "/templates/", json={"name": "forged", "document": forged})
    assert problem(refused, 422, "template_invalid")["problems"][0]["code"] == "unknown_field"
    copied = await lab.make("/templates/import", params={"name": "copied"}, json=exported)
    await rename(lab, f"/images/{image['id']}", "moved")
    assert {vm["os"] for vm in await launched(lab, copied["id"])} == {"moved"}


async def test_names_from_before_are_looked_up_until_something_loses_them(lab: Lab) -> None:
    image = await public_image(lab, "later")
    made = await lab.template(document=document("later", "tiny"))
    async with lab.services.uows.database.write_session() as session:
        # As the migration leaves a name that nothing had then.
        await session.execute(
            text("UPDATE template_references SET image_id = NULL, is_resolved = :no WHERE name = 'later'"),
            {"no": False},
        )
        await session.commit()
    assert {vm["os"] for vm in await launched(lab, made["id"])} == {"later"}
    await rename(lab, f"/images/{image['id']}", "latest")
    await public_image(lab, "later")
    assert {vm["os"] for vm in await launched(lab, made["id"])} == {"latest"}


async def refer(lab: Lab, version_id: int, reference: Reference) -> None:
    """Store a reference, as the saving of a template does."""
    async with lab.services.uows.write() as uow:
        await uow.template_references.add_all(version_id, [reference])
        await uow.commit()


async def test_what_goes_while_a_template_is_saved_is_told(lab: Lab) -> None:
    version_id = 1  # of the sample
    for kind in ReferenceKind:
        with pytest.raises(ParcelaError) as caught:
            await refer(lab, version_id, Reference(kind, "gone", 999_999))
        # SQLite has one writer, and does not say which constraint it was.
        told = "reference_missing" if lab.services.uows.database.is_sqlite else f"{kind.value}_gone"
        assert caught.value.code == told


async def test_a_start_finds_what_was_renamed(settings: Settings, anyio_backend: str) -> None:
    async with open_lab(settings) as lab:
        images = (await lab.call("GET", "/images/", "admin")).json()["items"]
        sample = (await lab.call("GET", "/templates/", "admin")).json()["items"][0]
        zone = (await lab.call("GET", "/zones/", "admin")).json()["items"][0]
        hosts = len((await lab.call("GET", "/hosts/", "admin")).json()["items"])
        await rename(lab, f"/images/{images[0]['id']}", "bundled")
        await rename(lab, f"/zones/{zone['id']}", "basement")
        await lab.call("PATCH", f"/images/{(await lab.image())['id']}", json={"name": "tiny"})
    async with started(settings) as lab:
        await lab.enter("admin", "admin", 1)
        found = (await lab.call("GET", "/images/", "admin")).json()["items"]
        assert {row["name"]: row["owner_id"] is None for row in found} == {"bundled": True, "tiny": False}
        assert [row["name"] for row in (await lab.call("GET", "/zones/", "admin")).json()["items"]] == ["basement"]
        assert len((await lab.call("GET", "/hosts/", "admin")).json()["items"]) == hosts
        assert {vm["os"] for vm in await launched(lab, sample["id"], by="admin")} == {"bundled"}
