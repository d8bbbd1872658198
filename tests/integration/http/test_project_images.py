"""Images of projects: who sees, uses, changes and deletes them, and the quota of bytes of the project."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from parcela.services.projects import image_quota
from tests.integration.catalogue.disks import raw_disk
from tests.integration.http.lab import Lab, make_settings, open_lab, problem

pytestmark = pytest.mark.anyio
MIB = 1024**2
DISK = raw_disk(MIB)
ROLES = {"mona": "manager", "max": "member", "mike": "member", "vera": "viewer"}
LIMITS = {"PARCELA_QUOTA_IMAGES_GIB": 1, "PARCELA_QUOTA_PROJECT_IMAGES_GIB": 2}


@pytest.fixture
async def lab(schema: Path, tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(image_quota, "GIB", MIB)
    monkeypatch.setattr(image_quota, "STEP_BYTES", MIB // 4)
    async with open_lab(make_settings(tmp_path, schema, **LIMITS)) as made:
        for name in ROLES:
            await made.user(username=name, email=f"{name}@class.example")
        yield made


@pytest.fixture
async def project(lab: Lab) -> int:
    return int((await lab.project(**ROLES))["id"])


async def slowly(content: bytes) -> AsyncIterator[bytes]:
    """Without a length, in parts."""
    for start in range(0, len(content), MIB // 8):
        yield content[start : start + MIB // 8]


async def upload(lab: Lab, project: int | None, by: str = "max", content: Any = DISK) -> Any:
    params = {"name": lab.unique("image")} | ({} if project is None else {"project_id": project})
    return await lab.call("POST", "/images/", by, params=params, content=content)


async def uploaded(lab: Lab, project: int | None, by: str = "max") -> dict[str, Any]:
    answer = await upload(lab, project, by)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def use(lab: Lab, path: str) -> dict[str, Any]:
    quota = (await lab.call("GET", f"{path}/quota", "admin")).json()
    return dict(quota["images_gib"])


def document(image: dict[str, Any]) -> dict[str, Any]:
    return {"vms": [{"name": "web", "image": image["name"], "flavour": "tiny"}]}


def order(image: dict[str, Any]) -> dict[str, Any]:
    return {"name": "mine", "os": image["name"], "cores": 1, "ram": 128, "disk": 1}


async def test_only_those_who_may_launch_put_images_into_a_project(lab: Lab, project: int) -> None:
    problem(await upload(lab, project, "vera"), 403, "project_role")
    problem(await upload(lab, project, "stranger"), 404, "project_not_found")
    problem(await upload(lab, project + 1000, "max"), 404, "project_not_found")
    problem(await upload(lab, project + 1000, "admin"), 404, "project_not_found")
    for name in ("max", "mona"):
        assert (await uploaded(lab, project, name))["project_id"] == project
    assert (await uploaded(lab, project, "admin"))["project_id"] == project


async def test_who_sees_uses_changes_and_deletes(lab: Lab, project: int) -> None:
    image = await uploaded(lab, project)
    path = f"/images/{image['id']}"
    for name in ("max", "mike", "vera", "mona", "admin"):
        assert (await lab.call("GET", path, name)).json()["project_id"] == project
        listed = (await lab.call("GET", "/images/", name, params={"project_id": project})).json()
        assert [row["id"] for row in listed["items"]] == [image["id"]]
    problem(await lab.call("GET", path, "stranger"), 404, "image_not_found")
    assert (await lab.call("GET", "/images/", "stranger", params={"project_id": project})).json()["items"] == []

    change = {"description": "for the class"}
    for name in ("mike", "vera"):
        problem(await lab.call("PATCH", path, name, json=change), 403, "not_yours")
        problem(await lab.call("DELETE", path, name), 403, "not_yours")
    problem(await lab.call("PATCH", path, "stranger", json=change), 404, "image_not_found")
    problem(await lab.call("DELETE", path, "stranger"), 404, "image_not_found")
    problem(await lab.call("PATCH", path, "mona", json={"visibility": "public"}), 403, "permission_missing")
    for name in ("max", "mona"):
        assert (await lab.call("PATCH", path, name, json=change)).status_code == 200
    assert (await lab.call("DELETE", path, "mona")).status_code == 204


async def test_who_uses_it_in_templates_slices_and_vms(lab: Lab, project: int) -> None:
    image = await uploaded(lab, project)
    shared = {"name": "shared", "document": document(image), "project_id": project}
    template = await lab.make("/templates/", "max", json=shared)
    for name in ("max", "mike", "mona"):
        body = {"name": f"of-{name}", "template_id": template["id"], "project_id": project}
        assert (await lab.call("POST", "/slices/", name, json=body)).status_code == 201
    await lab.make("/virtual-machines/", "mike", json=order(image))
    demoted = f"/projects/{project}/members/{lab.people['mike'].id}"
    assert (await lab.call("PATCH", demoted, "mona", json={"role": "viewer"})).status_code == 200
    for name in ("mike", "vera", "stranger"):
        body = {"name": "mine", "document": document(image)}
        for path, sent in (("/templates/", body), ("/virtual-machines/", order(image))):
            refused = (await lab.call("POST", path, name, json=sent)).json()
            assert (refused["status"], refused["problems"][0]["code"]) == (422, "unknown_image")


async def test_who_deletes_it_is_told_of_no_vms_of_others(lab: Lab, project: int) -> None:
    image = await uploaded(lab, project)
    own = await lab.make("/virtual-machines/", "max", json=order(image) | {"name": "own"})
    private = await lab.make("/virtual-machines/", "mike", json=order(image) | {"name": "secret"})
    there = await lab.make("/virtual-machines/", "mike", json=order(image) | {"name": "there", "project_id": project})
    told = {"max": {own["id"]}, "mona": {there["id"]}, "admin": {own["id"], private["id"], there["id"]}}
    for name, ids in told.items():
        answer = await lab.call("DELETE", f"/images/{image['id']}", name)
        body = problem(answer, 409, "image_in_use")
        others = set() if name == "admin" else {"vms"}
        assert {entry["where"] for entry in body["problems"]} == {f"vms[{vm_id}]" for vm_id in ids} | others
        assert ("secret" in answer.text) == (name == "admin")


@pytest.mark.parametrize("scope", ["image:read", "image:update", "image:delete"])
async def test_tokens_of_managers_need_the_scope(lab: Lab, project: int, scope: str) -> None:
    image = await uploaded(lab, project)
    token = (await lab.token("mona", scope, "catalogue:read"))["token"]
    auth = {"Authorization": f"Bearer {token}"}
    path = f"/images/{image['id']}"
    changed = await lab.call("PATCH", path, None, headers=auth, json={"description": "x"})
    assert changed.status_code == (200 if scope == "image:update" else 403)
    deleted = await lab.call("DELETE", path, None, headers=auth)
    assert deleted.status_code == (204 if scope == "image:delete" else 403)


async def test_the_project_is_counted_and_not_who_uploaded(lab: Lab, project: int) -> None:
    await uploaded(lab, project)
    await uploaded(lab, project)
    for content in (DISK, slowly(DISK)):
        body = problem(await upload(lab, project, "mona", content), 507, "quota_exceeded")
        assert body["problems"][0]["where"] == "quota.images"
        assert "the quota of the project" in body["detail"]
        assert f"At most {2 * MIB} " in body["detail"]
        assert f"{2 * MIB} in use" in body["detail"]
    assert await use(lab, f"/projects/{project}") == {"limit": 2, "own_limit": None, "used": 2}
    assert await use(lab, f"/users/{lab.people['max'].id}") == {"limit": 1, "own_limit": None, "used": 0}
    await uploaded(lab, None)
    body = problem(await upload(lab, None), 507, "quota_exceeded")
    assert "beyond your quota" in body["detail"]
    assert (await upload(lab, project, "admin")).status_code == 201, "administrators could raise the quota"


async def test_copies_on_hosts_count_for_the_project(lab: Lab, project: int) -> None:
    image = await uploaded(lab, project)
    async with lab.services.uows.write() as uow:
        (host, *_) = await uow.hosts.all()
        await uow.image_space.note_copies(host.id, {image["sha256"]: MIB})
        await uow.commit()
    problem(await upload(lab, project, "mike"), 507, "quota_exceeded")
    assert (await use(lab, f"/projects/{project}"))["used"] == 2


@pytest.mark.parametrize("announced", [True, False])
async def test_two_members_at_the_same_time_do_not_share_the_last_of_it(
    lab: Lab, project: int, announced: bool
) -> None:
    people = ("max", "mike", "mona", "max", "mike")
    uploads = (upload(lab, project, name, DISK if announced else slowly(DISK)) for name in people)
    statuses = [answer.status_code for answer in await asyncio.gather(*uploads)]
    assert set(statuses) <= {201, 507}
    assert statuses.count(201) <= 2
    if announced:
        assert statuses.count(201) == 2
    assert (await use(lab, f"/projects/{project}"))["used"] == statuses.count(201)


@pytest.mark.parametrize("holder", ["user", "project"])
async def test_administrators_set_the_ceiling_of_one_user_or_project(lab: Lab, project: int, holder: str) -> None:
    into = project if holder == "project" else None
    path = f"/projects/{project}" if holder == "project" else f"/users/{lab.people['max'].id}"
    for name in ("max", "mona"):
        refused = await lab.call("PUT", f"{path}/quota", name, json={"images_gib": 9})
        assert refused.status_code in {403, 404}
    answer = await lab.call("PUT", f"{path}/quota", "admin", json={"images_gib": 3})
    assert answer.json()["images_gib"] == {"limit": 3, "own_limit": 3, "used": 0}
    for _ in range(3):
        await uploaded(lab, into)
    assert f"At most {3 * MIB} " in problem(await upload(lab, into), 507, "quota_exceeded")["detail"]
    answer = await lab.call("PUT", f"{path}/quota", "admin", json={"images_gib": 0})
    assert answer.json()["images_gib"] == {"limit": 0, "own_limit": 0, "used": 3}
    problem(await upload(lab, into, content=slowly(DISK)), 507, "quota_exceeded")
    answer = await lab.call("PUT", f"{path}/quota", "admin", json={})
    assert answer.json()["images_gib"]["own_limit"] is None
    for wrong in (-1, 2**53 + 1, "many"):
        problem(await lab.call("PUT", f"{path}/quota", "admin", json={"images_gib": wrong}), 422, "request_invalid")


async def test_images_keep_their_owner_in_the_project_and_the_project_alive(lab: Lab, project: int) -> None:
    image = await uploaded(lab, project)
    leaving = f"/projects/{project}/members/{lab.people['max'].id}"
    for by in ("max", "mona"):
        body = problem(await lab.call("DELETE", leaving, by), 409, "member_owns_things")
        assert [entry["code"] for entry in body["problems"]] == ["in_project_image"]
    body = problem(await lab.call("DELETE", f"/projects/{project}", "admin"), 409, "project_in_use")
    assert image["name"] in body["problems"][0]["what"]
    assert (await lab.call("DELETE", f"/images/{image['id']}", "mona")).status_code == 204
    assert (await lab.call("DELETE", leaving, "max")).status_code == 204
    assert (await lab.call("DELETE", f"/projects/{project}", "admin")).status_code == 204


@pytest.mark.parametrize("gone", ["member", "project", "viewer"])
async def test_who_left_during_the_upload_leaves_nothing_behind(lab: Lab, project: int, gone: str) -> None:
    member = f"/projects/{project}/members/{lab.people['max'].id}"
    calls: dict[str, Any] = {
        "member": ("DELETE", member, {}),
        "viewer": ("PATCH", member, {"json": {"role": "viewer"}}),
        "project": ("DELETE", f"/projects/{project}", {}),
    }

    async def interrupted() -> AsyncIterator[bytes]:
        yield DISK[: MIB // 2]
        method, path, options = calls[gone]
        answer = await lab.call(method, path, "admin", **options)
        assert answer.status_code in {200, 204}, answer.text
        yield DISK[MIB // 2 :]

    answer = await upload(lab, project, content=interrupted())
    assert answer.status_code == (403 if gone == "viewer" else 404), answer.text
    assert not list((lab.services.settings.data_dir / "images" / "incoming").iterdir())
    async with lab.services.uows.read() as uow:
        assert await uow.image_space.bytes_of_project(project) == 0
    assert (await lab.call("GET", "/images/", "max", params={"project_id": project})).json()["items"] == []
