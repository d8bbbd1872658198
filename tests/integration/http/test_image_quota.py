"""Bytes of images have a ceiling per user: announced or not, one by one or at the same time, with copies on hosts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from parcela.services.projects import image_quota
from parcela.workers.reconcilers.silent_uploads import SilentUploads
from tests.integration.catalogue.disks import raw_disk
from tests.integration.http.lab import Lab, make_settings, open_lab, problem

pytestmark = pytest.mark.anyio
MIB = 1024**2
DISK = raw_disk(MIB)


@pytest.fixture
async def lab(schema: Path, tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(image_quota, "GIB", MIB)
    monkeypatch.setattr(image_quota, "STEP_BYTES", MIB // 4)
    async with open_lab(make_settings(tmp_path, schema, PARCELA_QUOTA_IMAGES_GIB=2)) as made:
        yield made


async def slowly(content: bytes) -> AsyncIterator[bytes]:
    """Without a length, in parts."""
    for start in range(0, len(content), MIB // 8):
        yield content[start : start + MIB // 8]


async def upload(lab: Lab, content: Any, by: str = "owner") -> Any:
    return await lab.call("POST", "/images/", by, params={"name": lab.unique("image")}, content=content)


def refused(answer: Any) -> str:
    body = problem(answer, 507, "quota_exceeded")
    assert body["problems"][0]["where"] == "quota.images"
    assert str(2 * MIB) in body["detail"]
    return str(body["detail"])


async def reserved(lab: Lab) -> int:
    async with lab.services.uows.read() as uow:
        return await uow.image_space.bytes_of_user(lab.people["owner"].id)


async def test_announced_and_not_announced(lab: Lab) -> None:
    made = (await upload(lab, DISK)).json()
    assert (await upload(lab, slowly(DISK))).status_code == 201
    refused(await upload(lab, DISK))
    detail = refused(await upload(lab, slowly(DISK)))
    assert f"{2 * MIB} in use" in detail
    assert await reserved(lab) == 2 * MIB, "what was refused has given everything back"
    assert not list((lab.services.settings.data_dir / "images" / "incoming").iterdir())
    assert (await lab.call("DELETE", f"/images/{made['id']}")).status_code == 204
    assert (await upload(lab, DISK)).status_code == 201
    assert (await upload(lab, DISK, "stranger")).status_code == 201
    for _ in range(3):
        assert (await upload(lab, DISK, "admin")).status_code == 201


async def test_uploads_at_the_same_time_do_not_share_the_last_of_it(lab: Lab) -> None:
    answers = await asyncio.gather(*(upload(lab, slowly(DISK)) for _ in range(4)))
    assert sum(answer.status_code == 201 for answer in answers) <= 2
    assert await reserved(lab) <= 2 * MIB
    answers = await asyncio.gather(*(upload(lab, DISK) for _ in range(4)))
    assert await reserved(lab) == 2 * MIB


async def test_copies_on_hosts_count(lab: Lab) -> None:
    made = (await upload(lab, DISK)).json()
    async with lab.services.uows.write() as uow:
        (host, *_) = await uow.hosts.all()
        await uow.image_space.note_copies(host.id, {made["sha256"]: MIB})
        await uow.commit()
    refused(await upload(lab, DISK))


async def test_an_upload_that_is_no_image_gives_everything_back(lab: Lab) -> None:
    answer = await upload(lab, b"QFI\xfb" + b"x" * MIB)
    assert answer.status_code == 422, answer.text
    assert await reserved(lab) == 0


async def test_what_a_killed_process_has_reserved_is_given_back(lab: Lab) -> None:
    async with lab.services.uows.write() as uow:
        await uow.image_space.begin_upload(lab.people["owner"].id, 2 * MIB)
        await uow.commit()
    refused(await upload(lab, DISK))
    with lab.clock.stopped() as now:
        sweep = SilentUploads(lab.services.uows, lab.services.images)
        lab.clock.stopped_at = now + timedelta(minutes=59)
        assert await sweep.run() == 0
        lab.clock.stopped_at = now + timedelta(minutes=70)
        assert await sweep.run() == 1
    assert (await upload(lab, DISK)).status_code == 201
