import asyncio
import hashlib
import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from parcela.api.routers import flavours, images
from parcela.core.errors import ParcelaError
from parcela.services.catalogue.image_files import image_store
from parcela.services.catalogue.image_files.image_store import ImageStore
from parcela.services.catalogue.image_words import ImageWords
from parcela.services.catalogue.images import NewImage
from parcela.services.catalogue.snapshot import load_catalogue
from tests.integration.catalogue.disks import GIB, iso, qcow2, qcow2_header, raw_disk
from tests.integration.catalogue.support import (
    ADMIN,
    ALICE,
    ALICE_ID,
    BOB,
    NOBODY,
    OPERATOR,
    Client,
    Lab,
    open_client,
    problem,
)
from tests.integration.catalogue.world import make_vm, make_zone

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[Client]:
    async with open_client(lab, images.router, flavours.router) as made:
        yield made


def stored(lab: Lab) -> list[str]:
    """Names of all files below the store but its lock."""
    files = [path for path in lab.store.folder.rglob("*") if path.is_file()]
    return sorted(path.relative_to(lab.store.folder).as_posix() for path in files if path.name != ".lock")


def content(*paths: str) -> list[bytes]:
    return [Path(path).read_bytes() for path in paths]


async def upload(client: Client, content: bytes, **query: Any) -> Any:
    return await client.call("POST", "/images/", params={"name": "img"} | query, content=content)


async def test_an_upload_becomes_an_image(lab: Lab, client: Client, tmp_path: Path) -> None:
    content = qcow2(tmp_path / "a", "3G")
    digest = hashlib.sha256(content).hexdigest()
    query = {"os_type": "linux", "os_version": "Debian 12", "min_memory_mib": 512, "sha256": digest.upper()}
    made = await upload(client, content, **query, name="debian-12")
    assert made.status_code == 201, made.text
    body = made.json()
    expected = {
        "format": "qcow2",
        "sha256": digest,
        "size_bytes": len(content),
        "virtual_size_bytes": 3 * GIB,
        "min_disk_gib": 3,
        "min_memory_mib": 512,
        "visibility": "private",
        "owner_id": ADMIN.user_id,
    }
    assert expected.items() <= body.items()
    assert "path" not in body
    assert (await client.call("GET", made.headers["location"].removeprefix("/api/v1"))).json() == body
    assert (await client.call("GET", "/images/", params={"format": "qcow2"})).json()["items"] == [body]
    assert stored(lab) == [f"{digest}.qcow2"]
    assert (lab.store.folder / f"{digest}.qcow2").read_bytes() == content
    async with lab.uows.read() as uow:
        assert [event.type for event in await uow.events.since(0, limit=9)] == ["image.created"]


@pytest.mark.parametrize(("make", "form"), [(raw_disk, "raw"), (iso, "iso")])
async def test_raw_and_iso(client: Client, make: Any, form: str) -> None:
    body = (await upload(client, make())).json()
    assert (body["format"], body["min_disk_gib"], body["virtual_size_bytes"]) == (form, 1, 65536)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (qcow2_header(backing=b"/etc/passwd"), "image_has_backing_file"),
        (qcow2_header()[:80], "image_header_damaged"),
        (b"#!/bin/sh\n", "image_not_recognised"),
        (b"", "image_not_recognised"),
    ],
)
async def test_a_refused_file_leaves_nothing(lab: Lab, client: Client, content: bytes, code: str) -> None:
    problem(await upload(client, content), 422, code)
    assert stored(lab) == []
    assert (await client.call("GET", "/images/")).json()["items"] == []


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/b", "..", ".hidden", "a\\b", "a\x00", "", "x" * 101, "a\n", "ñ"]
)
async def test_names_are_no_paths(lab: Lab, client: Client, name: str) -> None:
    problem(await upload(client, raw_disk(), name=name), 422, "request_invalid")
    assert stored(lab) == []


async def test_the_service_refuses_such_names_too(lab: Lab) -> None:
    with pytest.raises(ParcelaError) as caught:
        async with lab.images.receive(ADMIN, NewImage(name="../x", min_memory_mib=1), _chunks(b"")):
            pass
    assert [item.where for item in caught.value.problems] == ["name", "min_memory_mib"]


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_wrong_digest_is_refused(lab: Lab, client: Client) -> None:
    problem(await upload(client, raw_disk(), sha256="0" * 64), 422, "sha256_mismatch")
    problem(await upload(client, raw_disk(), sha256="zz"), 422, "request_invalid")
    assert stored(lab) == []


async def test_a_form_is_refused_with_advice(client: Client) -> None:
    answer = await client.call("POST", "/images/", params={"name": "x"}, files={"file": raw_disk()})
    assert "< FILE" in problem(answer, 422, "upload_is_form")["detail"]


async def test_the_limit_of_uploads_is_its_own(lab: Lab, client: Client) -> None:
    limit = lab.settings.max_upload_bytes
    assert lab.settings.max_body_bytes < limit
    assert (await upload(client, raw_disk(limit))).status_code == 201
    problem(await upload(client, raw_disk(limit + 512), name="b"), 413, "image_too_large")
    endless = _chunks(*[bytes(65536)] * (limit // 65536 + 2))
    answer = await client.call("POST", "/images/", params={"name": "c"}, content=endless)
    problem(answer, 413, "image_too_large")
    assert len(stored(lab)) == 1
    # Other routes keep the limit of the application.
    big = await client.call("POST", "/flavours/", json={"name": "x" * lab.settings.max_body_bytes})
    assert big.status_code == 413


async def test_one_file_for_two_names(lab: Lab, client: Client) -> None:
    first = (await upload(client, raw_disk(), name="one")).json()
    second = (await upload(client, raw_disk(), name="two")).json()
    problem(await upload(client, raw_disk(), name="two"), 409, "image_exists")
    assert len(stored(lab)) == 1
    assert (await client.call("DELETE", f"/images/{first['id']}")).status_code == 204
    await lab.images.settle()
    assert len(stored(lab)) == 1
    assert (await client.call("DELETE", f"/images/{second['id']}")).status_code == 204
    await lab.images.settle()
    assert stored(lab) == []


async def test_an_image_in_use_stays(lab: Lab, client: Client) -> None:
    image = (await upload(client, raw_disk())).json()
    async with lab.uows.write() as uow:
        vm = await make_vm(uow, zone_id=(await make_zone(uow, "z")).id, image_id=image["id"])
        await uow.commit()
    blocked = problem(await client.call("DELETE", f"/images/{image['id']}"), 409, "image_in_use")
    assert [item["where"] for item in blocked["problems"]] == [f"vms[{vm.id}]"]
    async with lab.uows.write() as uow:
        await uow.vms.update_fields([vm.id], state="deleted")
        await uow.commit()
    assert (await client.call("DELETE", f"/images/{image['id']}")).status_code == 204


async def test_private_images_are_their_owners(lab: Lab, client: Client) -> None:
    client.caller = ALICE
    problem(await upload(client, raw_disk(), visibility="public"), 403, "permission_missing")
    mine = (await upload(client, raw_disk(), name="mine")).json()
    path = f"/images/{mine['id']}"
    assert mine["owner_id"] == ALICE_ID
    client.caller = BOB
    for method, options in (("GET", {}), ("PATCH", {"json": {"description": "x"}}), ("DELETE", {})):
        problem(await client.call(method, path, **options), 404, "image_not_found")  # type: ignore[arg-type]
    assert (await client.call("GET", "/images/")).json()["items"] == []
    assert (await client.call("GET", "/images/", params={"owner_id": ALICE_ID})).json()["items"] == []
    client.caller = ALICE
    problem(await client.call("PATCH", path, json={"visibility": "public"}), 403, "permission_missing")
    assert (await client.call("PATCH", path, json={"description": "x"})).json()["description"] == "x"
    assert (await client.call("PATCH", path, OPERATOR, json={"visibility": "public"})).status_code == 200
    assert (await client.call("GET", path, BOB)).json()["visibility"] == "public"
    problem(await client.call("DELETE", path, BOB), 403, "not_yours")
    problem(await client.call("DELETE", path, ALICE), 403, "not_yours")
    problem(await client.call("GET", path, NOBODY), 403, "permission_missing")
    problem(await upload(client, raw_disk(), name="n"), 403, "permission_missing")


async def test_templates_see_only_visible_images(lab: Lab, client: Client) -> None:
    client.caller = ALICE
    await upload(client, raw_disk(), name="mine", os_version="Kali 2026")
    async with lab.uows.read() as uow:
        assert set((await load_catalogue(uow, ALICE)).images) == {"mine"}
        assert (await load_catalogue(uow, BOB)).images == {}
        assert (await ImageWords.load(uow, ALICE)).find("linux kali 2026") == "mine"
        assert (await ImageWords.load(uow, BOB)).find("linux kali 2026") is None
        assert (await load_catalogue(uow, ADMIN)).flavours["small"].memory_mib == 4096


async def test_min_disk_cannot_go_below_the_disk(client: Client, tmp_path: Path) -> None:
    image = (await upload(client, qcow2(tmp_path / "a", "2G"), min_disk_gib=5)).json()
    assert image["min_disk_gib"] == 5
    path = f"/images/{image['id']}"
    problem(await client.call("PATCH", path, json={"min_disk_gib": 1}), 422, "min_disk_below_image")
    assert (await client.call("PATCH", path, json={"min_disk_gib": 2, "name": "new"})).json()["name"] == "new"


async def test_a_repeated_upload_gives_the_first_answer(client: Client) -> None:
    options: dict[str, Any] = {"params": {"name": "x"}, "content": raw_disk(), "headers": {"Idempotency-Key": "k"}}
    first = await client.call("POST", "/images/", **options)
    again = await client.call("POST", "/images/", **options)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    problem(await client.call("POST", "/images/", **options | {"params": {"name": "y"}}), 409, "idempotency_key_reused")


async def test_a_client_that_goes_away_leaves_nothing(lab: Lab, client: Client) -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": raw_disk(), "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/images/",
        "raw_path": b"/api/v1/images/",
        "query_string": b"name=gone",
        "headers": [(b"content-length", b"1000000")],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("lab", 80),
    }
    await client.app(scope, receive, send)
    assert sent[0]["status"] == 422
    assert stored(lab) == []


async def test_a_cancelled_upload_leaves_nothing(lab: Lab) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1024)
            started.set()
            await asyncio.sleep(0.001)

    async def run() -> None:
        async with lab.images.receive(ADMIN, NewImage(name="x"), endless()):
            pass

    task = asyncio.create_task(run())
    await started.wait()
    assert len(stored(lab)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stored(lab) == []


async def test_an_upload_does_not_block_writers(lab: Lab) -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield raw_disk()
        await go_on.wait()

    async def run() -> None:
        async with lab.images.receive(ADMIN, NewImage(name="x"), slow()):
            pass

    task = asyncio.create_task(run())
    async with asyncio.timeout(60):
        async with lab.uows.write() as uow:
            await lab.zones.create(uow, ADMIN, name="z", provider="simulated")
            await uow.commit()
        go_on.set()
        await task


async def test_what_a_kill_left_goes_at_the_next_start(lab: Lab, client: Client) -> None:
    kept = (await upload(client, raw_disk())).json()
    (lab.store.incoming / "abandoned").write_bytes(b"half")
    (lab.store.folder / f"{'0' * 64}.qcow2").write_bytes(b"published, but the commit never came")
    async with lab.store.receive(_chunks(b"alive"), limit_bytes=10) as received:
        other_process = ImageStore(lab.settings.data_dir)
        assert other_process.purge_incoming() == 1
        assert received.path.exists()
        other_process.close()
        await lab.images.remove_unreferenced()
    assert stored(lab) == [f"{kept['sha256']}.raw"]


async def test_a_sweep_waits_for_a_file_that_is_being_registered(lab: Lab) -> None:
    new = NewImage(name="x")
    async with lab.images.receive(ADMIN, new, _chunks(raw_disk())) as file:
        async with lab.images.publishing(), lab.uows.write() as uow:
            await lab.images.register(uow, ADMIN, new, file)
            sweep = asyncio.create_task(lab.images.remove_unreferenced())
            await asyncio.sleep(0.1)
            assert not sweep.done()
            await uow.commit()
        await sweep
    assert stored(lab) == [f"{file.received.sha256}.raw"]


class TestImport:
    async def test_from_the_import_folder(self, lab: Lab, client: Client) -> None:
        folder = lab.store.import_folder
        folder.mkdir(parents=True)
        (folder / "disk.img").write_bytes(raw_disk())
        body = {"name": "imported", "path": str(folder / "disk.img"), "visibility": "public"}
        made = await client.call("POST", "/images/import", OPERATOR, json=body)
        assert made.status_code == 201, made.text
        assert made.json()["format"] == "raw"
        assert (folder / "disk.img").exists()
        problem(await client.call("POST", "/images/import", ALICE, json=body), 403, "permission_missing")

    async def test_nothing_else_is_read(self, lab: Lab, client: Client, tmp_path: Path) -> None:
        folder = lab.store.import_folder
        folder.mkdir(parents=True)
        outside = tmp_path / "outside.img"
        outside.write_bytes(raw_disk())
        (folder / "link.img").symlink_to(outside)
        (folder / "folder").symlink_to(tmp_path)
        os.mkfifo(folder / "fifo")
        paths = [
            outside,
            folder / "link.img",
            folder / "folder" / "outside.img",
            f"{folder}/../../outside.img",
            folder / "fifo",
            folder,
            "/dev/zero",
            "disk.img",
            folder / "missing",
        ]
        for path in paths:
            body = {"name": "x", "path": str(path)}
            problem(await client.call("POST", "/images/import", OPERATOR, json=body), 422, "import_path_refused")
        problem(
            await client.call("POST", "/images/import", OPERATOR, json={"name": "x", "path": "/a\x00b"}),
            422,
            "request_invalid",
        )
        assert stored(lab) == []

    async def test_superusers_name_any_regular_file(self, lab: Lab, client: Client, tmp_path: Path) -> None:
        outside = tmp_path / "outside.img"
        outside.write_bytes(raw_disk())
        made = await client.call("POST", "/images/import", ADMIN, json={"name": "x", "path": str(outside)})
        assert made.status_code == 201
        passwd = await client.call("POST", "/images/import", json={"name": "y", "path": "/etc/passwd"})
        problem(passwd, 422, "image_not_recognised")
        problem(
            await client.call("POST", "/images/import", json={"name": "z", "path": "/dev/zero"}),
            422,
            "import_path_refused",
        )


class TestBundledGuest:
    @pytest.fixture
    def guest(self, tmp_path: Path) -> Path:
        folder = tmp_path / "guest"
        folder.mkdir()
        files = {"kernel": b"kernel", "initrd": b"initrd", "disk": qcow2(tmp_path / "disk", "64M")}
        manifest: dict[str, Any] = {"name": "tiny", "version": "6.1", "cmdline": "console=ttyS0"}
        for part, content in files.items():
            (folder / part).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            manifest[part] = {"file": part, "sha256": digest, "size_bytes": len(content)}
        manifest["ready_marker"] = "PARCELA READY"
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    async def register(self, lab: Lab, guest: Path) -> Any:
        async with lab.images.publishing(), lab.uows.write() as uow:
            image = await lab.images.register_bundled(uow, guest)
            await uow.commit()
        return image

    async def test_it_is_offered_to_all(self, lab: Lab, client: Client, guest: Path) -> None:
        image = await self.register(lab, guest)
        seen = (await client.call("GET", f"/images/{image.id}", ALICE)).json()
        assert (seen["name"], seen["visibility"], seen["owner_id"]) == ("tiny", "public", None)
        assert (seen["ready_marker"], seen["min_disk_gib"], seen["os_version"]) == ("PARCELA READY", 1, "6.1")
        assert content(image.kernel_path, image.initrd_path) == [b"kernel", b"initrd"]
        await lab.images.remove_unreferenced()
        assert len(stored(lab)) == 3

    async def test_twice_is_once(self, lab: Lab, guest: Path) -> None:
        first = await self.register(lab, guest)
        async with lab.uows.write() as uow:
            await lab.images.update(uow, ADMIN, first.id, {"description": "ours"})
            await uow.commit()
        before = stored(lab)
        second = await self.register(lab, guest)
        assert (second.id, second.description, stored(lab)) == (first.id, "ours", before)
        async with lab.uows.read() as uow:
            assert [event.type for event in await uow.events.since(0, limit=9)] == ["image.created", "image.updated"]

    async def test_a_newer_build_replaces_it(self, lab: Lab, guest: Path) -> None:
        first = await self.register(lab, guest)
        manifest = json.loads((guest / "manifest.json").read_text())
        (guest / "kernel").write_bytes(b"newer")
        manifest["kernel"]["sha256"] = hashlib.sha256(b"newer").hexdigest()
        (guest / "manifest.json").write_text(json.dumps(manifest))
        second = await self.register(lab, guest)
        assert second.id == first.id
        assert content(second.kernel_path) == [b"newer"]
        await lab.images.remove_unreferenced()
        assert len(stored(lab)) == 3

    async def test_damage_is_said(self, lab: Lab, guest: Path, tmp_path: Path) -> None:
        assert await self.register(lab, tmp_path) is None
        (guest / "kernel").write_bytes(b"other")
        with pytest.raises(ParcelaError, match="is not the file"):
            await self.register(lab, guest)
        (guest / "manifest.json").write_text('{"name": "tiny", "disk": {"file": "../x", "sha256": "0"}}')
        with pytest.raises(ParcelaError, match="build the guest again"):
            await self.register(lab, guest)


async def test_writing_to_disk_does_not_stop_the_loop(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, set[int]] = {}

    def note(name: str) -> None:
        work = getattr(image_store._Writer, name)

        def noted(*arguments: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return work(*arguments)

        monkeypatch.setattr(image_store._Writer, name, noted)

    for name in ("__init__", "write", "finish", "close"):
        note(name)

    async def much() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield bytes(1024 * 1024)

    async with lab.store.receive(much(), limit_bytes=2**30) as received:
        assert received.size_bytes == 9 * 1024 * 1024
    assert threads.keys() == {"__init__", "write", "finish", "close"}
    assert threading.get_ident() not in set.union(*threads.values())
