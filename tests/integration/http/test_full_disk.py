"""The file system of the data folder is full: said in a sentence, survived, and over when there is space again."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog

from parcela.core.errors import ParcelaError
from tests.integration.catalogue.disks import raw_disk
from tests.integration.http.lab import ONE_VM, Lab, make_settings, open_lab, problem, started
from tests.support.filesystems import MIB, SmallDisk, small_disk

pytestmark = pytest.mark.anyio


@pytest.fixture
def disk(tmp_path: Path) -> Any:
    with small_disk(tmp_path / "small", size_mib=80) as made:
        yield made


@pytest.fixture
async def lab(schema: Path, disk: SmallDisk, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(make_settings(disk.folder / "here", schema)) as made:
        yield made


@contextmanager
def _every_line() -> Iterator[list[Any]]:
    """Lines of the log from level info on; other tests of this folder see errors only."""
    wrapper = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        with structlog.testing.capture_logs() as lines:
            yield lines
    finally:
        structlog.configure(wrapper_class=wrapper)


async def _write(lab: Lab) -> httpx2.Response:
    document = {"vms": [ONE_VM["vms"][0] | {"user_data": "#!/bin/sh\n" + "# text\n" * 5000}]}
    return await lab.call("POST", "/templates/", json={"name": lab.unique("template"), "document": document})


async def _until_full(lab: Lab, disk: SmallDisk) -> httpx2.Response:
    """SQLite may still have room in its own files: write until it has not."""
    disk.fill()
    for _ in range(200):
        answer = await _write(lab)
        if answer.status_code != 201:
            return answer
        disk.fill()
    raise AssertionError("it was never full")


async def _health(lab: Lab) -> tuple[str, dict[str, str]]:
    found = (await lab.call("GET", "/system/health", "admin")).json()
    return found["status"], {check["name"]: check["status"] for check in found["checks"]}


async def test_a_full_disk_is_said_and_reading_goes_on(lab: Lab, disk: SmallDisk) -> None:
    assert (await _health(lab))[1]["data folder"] == "ok"
    kept = (await lab.template())["id"]
    with _every_line() as logs:
        refused = problem(await _until_full(lab, disk), 507, "storage_full")
        assert refused["detail"] == (
            "Nothing was changed: the disk of the database is full. An administrator has to free space there; then "
            "the same request works again."
        )
        for _ in range(5):
            problem(await _write(lab), 507, "storage_full")
    told = [line for line in logs if line["log_level"] in {"warning", "error", "critical"}]
    assert [line["event"] for line in told] == ["storage.cannot_write"]
    before = await lab.counts()
    for path in (f"/templates/{kept}", "/templates/", "/slices/", "/users/me", "/events"):
        assert (await lab.call("GET", path)).status_code == 200, path
    status, checks = await _health(lab)
    assert (status, checks["data folder"], checks["database"]) == ("degraded", "down", "down")
    assert await lab.counts() == before

    disk.free()
    assert (await _write(lab)).status_code == 201
    status, checks = await _health(lab)
    assert (status, checks["data folder"], checks["database"]) == ("ok", "ok", "ok")


async def test_people_and_older_clients_are_told_too(lab: Lab, disk: SmallDisk) -> None:
    await _until_full(lab, disk)
    form = {"email": "owner@class.example", "password": "correct horse battery"}
    answers = [await lab.http.post("/api/auth/login", json={"username": "owner", "password": form["password"]})]
    answers.append(await lab.http.post("/login", json=form))
    answers.append(await lab.http.post("/auth/login", data=form))
    for answer in answers:
        assert answer.status_code == 507, (answer.request.url, answer.text)
    assert "lleno" in answers[0].text
    disk.free()
    assert (await lab.http.post("/login", json=form)).status_code == 200


async def test_an_operation_waits_for_space_and_goes_on(lab: Lab, disk: SmallDisk) -> None:
    gate = lab.world.faults.block("create_vm", vm="web")
    slice_id = (await lab.make("/slices/", json={"template_id": (await lab.template())["id"]}))["id"]
    operation = await lab.make(f"/slices/{slice_id}/deploy", status=202)
    await gate.reached()
    await _until_full(lab, disk)
    gate.release()
    await lab.settle()
    seen = (await lab.call("GET", f"/operations/{operation['id']}")).json()
    assert seen["state"] == "running"
    await lab.workers.reconcilers.round()
    await lab.workers.engine.sweep()  # both survive

    disk.free()
    lab.clock.stopped_at = lab.clock() + timedelta(
        seconds=120
    )  # the lease of the worker that could not write has run out
    await lab.workers.engine.sweep()
    await lab.settle()
    seen = (await lab.call("GET", f"/operations/{operation['id']}")).json()
    assert (seen["state"], seen["error"]) == ("succeeded", "")


async def test_uploads_leave_nothing_behind(lab: Lab, disk: SmallDisk) -> None:
    data = disk.folder / "here" / "data"
    body = raw_disk(3 * MIB)
    disk.fill(leave_bytes=5 * MIB)

    async def pieces() -> AsyncIterator[bytes]:  # of no announced length
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    for content in (body, pieces()):
        answer = await lab.call("POST", "/images/", params={"name": lab.unique("image")}, content=content)
        problem(answer, 507, "image_store_full")
    disk.fill(leave_bytes=MIB)
    machine = await lab.make("/machines/", "admin", json={"code": "PC-1", "type": "pc"})
    attached = await lab.call(
        "POST", f"/machines/{machine['id']}/attachments", "admin", params={"name": "a.bin"}, content=body
    )
    problem(attached, 507, "storage_full")
    left = [path for folder in ("images/incoming", "inventory/incoming") for path in (data / folder).glob("*")]
    assert left == []


async def test_it_is_told_before_the_disk_is_full(lab: Lab, disk: SmallDisk) -> None:
    disk.fill(leave_bytes=3 * MIB)
    assert (await _health(lab))[1]["data folder"] == "low"
    with _every_line() as logs:
        for _ in range(3):
            await lab.workers.reconcilers.round()
        disk.free()
        for _ in range(3):
            await lab.workers.reconcilers.round()
    assert [line["event"] for line in logs if line["event"].startswith("server.disk")] == [
        "server.disk_low",
        "server.disk_ok",
    ]


async def test_no_more_files_is_full_too(schema: Path, tmp_path: Path) -> None:
    """All inodes are taken while bytes are free."""
    with small_disk(tmp_path / "small", "nr_inodes=60") as disk:
        async with open_lab(make_settings(disk.folder / "here", schema)) as lab:
            for number in range(60):
                try:
                    (disk.folder / f"file-{number}").touch()
                except OSError:
                    break
            assert os.statvfs(disk.folder).f_favail == 0
            answer = await lab.call("POST", "/images/", params={"name": "more"}, content=raw_disk())
            problem(answer, 507, "image_store_full")
            assert (await _health(lab))[1]["data folder"] == "down"


async def test_a_start_on_a_full_disk_says_why_it_fails(schema: Path, disk: SmallDisk) -> None:
    settings = make_settings(disk.folder / "here", schema)
    disk.fill()
    with pytest.raises(ParcelaError, match="the disk of the database is full"):
        async with started(settings):
            pass
    disk.free()
    async with started(settings) as lab:
        assert (await lab.http.get("/api/v1/system/health")).json()["status"] == "up"
