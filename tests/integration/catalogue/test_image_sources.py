"""What people have from elsewhere, sent over HTTP: disks of other hypervisors, packed files, archives."""

import asyncio
import gzip
import hashlib
import lzma
import random
import struct
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from parcela.api.routers import images
from parcela.services.catalogue.image_files import image_intake
from parcela.services.catalogue.images import NewImage
from parcela.services.projects.image_quota import Reservation
from tests.integration.catalogue.disks import KIB, iso, qcow2, raw_disk
from tests.integration.catalogue.foreign_files import description, ova, stream_optimized, vmdk_header
from tests.integration.catalogue.support import ADMIN, Client, Lab, open_client, open_lab, problem
from tests.integration.catalogue.test_image_damage import MIB, converted, cuts, guest_disk, refused, upload

pytestmark = pytest.mark.anyio
FOREIGN = {
    "vmdk": ("vmdk",),
    "vmdk of streams": ("vmdk", "-o", "subformat=streamOptimized"),
    "vdi": ("vdi",),
    "vdi of fixed size": ("vdi", "-o", "static=on"),
    "vhdx": ("vhdx", "-o", "block_size=1M"),
    "vhd": ("vpc", "-o", "force_size=on"),
    "vhd of fixed size": ("vpc", "-o", "subformat=fixed,force_size=on"),
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "xz": lzma.compress}


@pytest.fixture
async def lab(sqlite_url: str, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    async with open_lab(sqlite_url, tmp_path, PARCELA_MAX_UPLOAD_BYTES=16 * MIB) as made:
        yield made


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[Client]:
    async with open_client(lab, images.router) as made:
        yield made


def foreign(folder: Path, kind: str, disk: bytes) -> bytes:
    """A disk as another hypervisor has it."""
    form, *options = FOREIGN[kind]
    return converted(folder, *options, form=form, disk=disk)


def small_disk(seed: int = 8) -> bytes:
    """A raw disk with one partition up to its end."""
    disk = bytearray(guest_disk(seed, 2 * MIB))
    struct.pack_into("<4B4BII", disk, 446, 0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, len(disk) // 512 - 1)
    return bytes(disk)


def stored_disk(lab: Lab, body: dict[str, Any], folder: Path) -> bytes:
    """The bytes that a guest would read of a stored image."""
    path = lab.store.folder / f"{body['sha256']}.{body['format']}"
    command = ["qemu-img", "convert", "-f", "raw" if body["format"] == "iso" else body["format"], "-O", "raw"]
    subprocess.run([*command, str(path), str(folder / "seen")], check=True)
    return (folder / "seen").read_bytes()


def sparse_parts(folder: Path) -> list[bytes]:
    """The other files of a split VMDK disk that have a header of their own."""
    parts = [path.read_bytes() for path in folder.glob("made-s*")]
    return [part for part in parts if part.startswith(b"KDMV")]


def files(lab: Lab) -> list[Path]:
    return [path for path in lab.store.folder.rglob("*") if path.is_file() and path.name != ".lock"]


class TestForeign:
    @pytest.mark.parametrize("kind", FOREIGN)
    async def test_it_is_stored_as_qcow2(self, lab: Lab, client: Client, tmp_path: Path, kind: str) -> None:
        disk = small_disk()
        content = foreign(tmp_path, kind, disk)
        sent = hashlib.sha256(content).hexdigest()
        made = await client.call("POST", "/images/", params={"name": "a", "sha256": sent}, content=content)
        assert made.status_code == 201, made.text
        body = made.json()
        assert (body["format"], body["source_format"]) == ("qcow2", kind.split(maxsplit=1)[0])
        assert (body["source_sha256"], body["virtual_size_bytes"]) == (sent, len(disk))
        (stored,) = files(lab)
        assert (stored.name, stored.stat().st_size) == (f"{body['sha256']}.qcow2", body["size_bytes"])
        assert hashlib.sha256(stored.read_bytes()).hexdigest() == body["sha256"] != sent
        assert stored_disk(lab, body, tmp_path) == disk
        assert (await client.call("GET", "/images/")).json()["items"] == [body]

    @pytest.mark.parametrize("kind", FOREIGN)
    async def test_a_cut_off_one_is_refused(self, lab: Lab, client: Client, tmp_path: Path, kind: str) -> None:
        disk = small_disk(seed=len(kind))
        content = foreign(tmp_path, kind, disk)
        refusals = 0
        for length in cuts(len(content), seed=len(kind)):
            answer = await upload(client, content[:length], f"img-{length}")
            if answer.status_code == 201:  # what is gone was filling, or a footer behind the disk
                assert stored_disk(lab, answer.json(), tmp_path) == disk, length
                continue
            refusals += 1
            assert answer.status_code == 422, (length, answer.text)
            told = answer.json()["code"]
            assert told in {"image_cut_off", "image_header_damaged", "image_not_recognised", "image_disk_size"}, length
        assert refusals >= 4
        assert len(files(lab)) <= 1

    async def test_the_same_disk_again_shares_the_file(self, lab: Lab, client: Client, tmp_path: Path) -> None:
        content = foreign(tmp_path, "vmdk", small_disk())
        first, second = [(await upload(client, content, name)).json() for name in ("a", "b")]
        assert first["sha256"] == second["sha256"]
        assert len(files(lab)) == 1

    async def test_a_damaged_table_is_refused(self, client: Client, tmp_path: Path) -> None:
        content = bytearray(foreign(tmp_path, "vdi", small_disk()))
        place = struct.unpack_from("<I", content, 340)[0]
        content[place : place + 4] = content[place + 4 : place + 8]  # two blocks of the disk in one place
        await refused(client, bytes(content), "image_damaged")

    async def test_a_wrong_digest_is_refused(self, client: Client, tmp_path: Path) -> None:
        query = {"name": "a", "sha256": "0" * 64}
        content = foreign(tmp_path, "vdi", small_disk())
        problem(await client.call("POST", "/images/", params=query, content=content), 422, "sha256_mismatch")

    async def test_a_disk_of_vmware_has_its_tables_at_the_end(self, lab: Lab, client: Client, tmp_path: Path) -> None:
        disk = small_disk()
        content = stream_optimized(disk)
        body = (await upload(client, content)).json()
        assert body["source_format"] == "vmdk", body
        assert stored_disk(lab, body, tmp_path) == disk
        for length in (len(content) - 1, len(content) - 512, len(content) // 2):
            problem(await upload(client, content[:length], "b"), 422, "image_cut_off")


class TestOtherFiles:
    """A tool that opened what such files name would show files of the server to a guest."""

    @pytest.fixture(autouse=True)
    def no_tool(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def run_tool(*arguments: str, **_: Any) -> None:
            raise AssertionError(arguments)

        monkeypatch.setattr("parcela.services.catalogue.image_files.qemu_img.run_tool", run_tool)

    @pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
    async def test_a_split_vmdk(self, client: Client, tmp_path: Path, subformat: str) -> None:
        description = converted(tmp_path, "-o", f"subformat={subformat}", form="vmdk", disk=small_disk())
        assert "qemu-img convert" in await refused(client, description, "image_has_other_files")
        for part in sparse_parts(tmp_path):
            await refused(client, part, "image_has_other_files")

    @pytest.mark.parametrize("line", ['RW 4096 FLAT "/etc/passwd" 0', 'RW 1 SPARSE "a"\nRW 1 FLAT "/etc/shadow" 0'])
    async def test_extents_that_name_paths(self, client: Client, line: str) -> None:
        await refused(client, description(line), "image_has_other_files")
        await refused(client, stream_optimized(small_disk(), description(line)), "image_has_other_files")

    async def test_a_header_without_a_disk(self, client: Client) -> None:
        """QEMU follows the description of such a file."""
        text = description('RW 4096 FLAT "/etc/passwd" 0')
        await refused(client, vmdk_header(0, directory=9) + text.ljust(65536, b"\0"), "image_has_other_files")

    @pytest.mark.parametrize("text", [description('parentFileNameHint="/etc/passwd"'), description(parent="12345678")])
    async def test_a_parent_of_a_vmdk(self, client: Client, text: bytes) -> None:
        whole = text + b'RW 4096 SPARSE "a"\n'
        await refused(client, stream_optimized(small_disk(), whole), "image_has_backing_file")

    async def test_a_parent_where_only_qemu_looks(self, client: Client) -> None:
        content = bytearray(stream_optimized(small_disk()))
        content[512 * 30 : 512 * 34] = content[512:2560]
        struct.pack_into("<Q", content, 28, 30)
        content[512:2560] = b'parentFileNameHint="/etc/passwd"'.ljust(2048, b"\0")
        await refused(client, bytes(content), "image_has_backing_file")

    async def test_parents_of_others(self, client: Client, tmp_path: Path) -> None:
        vdi, vhd, vhdx = (bytearray(foreign(tmp_path, kind, small_disk())) for kind in ("vdi", "vhd", "vhdx"))
        struct.pack_into("<I", vdi, 76, 4)
        for place in (0, len(vhd) - 512):
            struct.pack_into(">I", vhd, place + 60, 4)
        flags = vhdx.index(struct.pack("<II", MIB, 0), 2 * MIB)
        struct.pack_into("<I", vhdx, flags + 4, 2)
        for content in (vdi, vhd, vhdx):
            await refused(client, bytes(content), "image_has_backing_file")

    async def test_packed_ones(self, client: Client, tmp_path: Path) -> None:
        backed = qcow2(tmp_path / "a", "64M", "-b", "/etc/passwd", "-F", "raw", "-u")
        await refused(client, gzip.compress(backed), "image_has_backing_file")
        await refused(client, lzma.compress(description('RW 1 FLAT "/etc/passwd" 0')), "image_has_other_files")

    @pytest.mark.parametrize("text", [b'json:{"driver":"file","filename":"/etc/passwd"}', b"nbd://127.0.0.1/x"])
    async def test_names_are_no_images(self, client: Client, text: bytes) -> None:
        await refused(client, text.ljust(4096), "image_not_recognised")


class TestPacked:
    @pytest.mark.parametrize("packing", PACKERS)
    @pytest.mark.parametrize("kind", ["qcow2", "raw", "iso", "vmdk"])
    async def test_it_is_unpacked(self, lab: Lab, client: Client, tmp_path: Path, packing: str, kind: str) -> None:
        disk = iso(128 * KIB) if kind == "iso" else small_disk()
        content = disk if kind in {"raw", "iso"} else converted(tmp_path, form=kind, disk=disk)
        packed = PACKERS[packing](content)
        sent = hashlib.sha256(packed).hexdigest()
        made = await client.call("POST", "/images/", params={"name": "a", "sha256": sent}, content=packed)
        assert made.status_code == 201, made.text
        body = made.json()
        assert (body["source_format"], body["source_sha256"]) == (f"{kind}.{packing}", sent)
        if kind != "vmdk":
            assert (body["sha256"], body["size_bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
        assert stored_disk(lab, body, tmp_path) == disk
        assert len(files(lab)) == 1

    @pytest.mark.parametrize("packing", PACKERS)
    async def test_a_cut_off_one_is_refused(self, lab: Lab, client: Client, packing: str) -> None:
        content = PACKERS[packing](small_disk())
        for length in cuts(len(content), seed=3):
            answer = await upload(client, content[:length])
            assert answer.json()["code"] == "image_cut_off", (length, answer.text)
        assert files(lab) == []

    @pytest.mark.parametrize("packing", PACKERS)
    async def test_damage_is_found(self, client: Client, packing: str) -> None:
        content = bytearray(PACKERS[packing](small_disk()))
        chosen = random.Random(5)  # noqa: S311 (not for secrets)
        for _ in range(4):
            place = chosen.randrange(100, len(content) - 100)
            damaged = bytearray(content)
            damaged[place] ^= 0x10
            answer = await upload(client, bytes(damaged))
            assert answer.json()["code"] in {"image_damaged", "image_cut_off"}, answer.text
        told = await refused(client, bytes(content) + b"something else", "image_damaged")
        assert "something else" in told

    @pytest.mark.parametrize("packing", PACKERS)
    async def test_several_streams_are_one_file(self, client: Client, packing: str) -> None:
        disk, pack = small_disk(), PACKERS[packing]
        content = pack(disk[:MIB]) + pack(disk[MIB:]) + bytes(512)
        body = (await upload(client, content)).json()
        assert body["sha256"] == hashlib.sha256(disk).hexdigest()

    @pytest.mark.parametrize("packing", PACKERS)
    async def test_bombs_are_stopped_at_the_limit(self, lab: Lab, client: Client, packing: str) -> None:
        bomb = PACKERS[packing](raw_disk(64 * MIB))
        assert len(bomb) < MIB
        problem(await upload(client, bomb), 413, "image_too_large")
        assert files(lab) == []

    async def test_a_stream_of_nothing_has_an_end(self, lab: Lab, client: Client) -> None:
        problem(await upload(client, gzip.compress(b"") * 900_000), 413, "image_too_large")
        assert files(lab) == []

    async def test_memory_is_limited(self, client: Client) -> None:
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 * MIB}]
        content = lzma.compress(raw_disk(), filters=filters)
        assert "128 MiB" in await refused(client, content, "image_packing_refused")

    async def test_packed_twice(self, client: Client) -> None:
        for outer in PACKERS.values():
            for inner in PACKERS.values():
                assert "Unpack it once" in await refused(client, outer(inner(raw_disk())), "image_packed_twice")


class TestWords:
    async def test_an_ova_is_told_how_to_go_on(self, client: Client) -> None:
        content = ova(stream_optimized(small_disk()))
        for sent in (content, gzip.compress(content)):
            told = await refused(client, sent, "image_is_archive")
            assert "tar -xf" in told
            assert ".vmdk" in told

    @pytest.mark.parametrize(
        ("start", "code", "word"),
        [
            (b"PK\x03\x04", "image_is_archive", "zip"),
            (b"7z\xbc\xaf\x27\x1c", "image_is_archive", "7z"),
            (b"BZh91AY", "image_format_refused", "bunzip2"),
            (b"\x28\xb5\x2f\xfd", "image_format_refused", "zstd"),
            (b"QED\0", "image_format_refused", "QED"),
            (b"COWD", "image_format_refused", "VMDK"),
            (b"LUKS\xba\xbe", "image_format_refused", "encrypted"),
            (b"hello", "image_not_recognised", "VHDX"),
        ],
    )
    async def test_what_is_not_taken_has_a_word(self, client: Client, start: bytes, code: str, word: str) -> None:
        assert word in await refused(client, start.ljust(4096, b"\1"), code)


class TestConversion:
    async def test_it_is_stopped_at_the_limit(self, lab: Lab, client: Client, tmp_path: Path) -> None:
        """A small file that becomes a large one: one grain of a VMDK disk is named for all of them."""
        content = bytearray(stream_optimized(bytes(range(256)) * 256 * 400))
        table = len(content) - 2048 - 2048 - 512 + 512
        first = struct.unpack_from("<I", content, table)[0]
        struct.pack_into("<400I", content, table, *[first] * 400)
        assert len(content) < lab.settings.max_upload_bytes
        problem(await upload(client, bytes(content)), 413, "image_too_large")
        assert files(lab) == []

    async def test_it_ends_where_the_disk_is_short_of_space(
        self, lab: Lab, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def room_bytes() -> int:
            return MIB

        monkeypatch.setattr(lab.store, "room_bytes", room_bytes)
        answer = await upload(client, foreign(tmp_path, "vdi", small_disk()))
        assert (answer.status_code, answer.json()["code"]) == (507, "image_store_full")
        assert files(lab) == []

    async def test_what_it_takes_is_reserved(
        self, lab: Lab, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a packed disk that is converted: what was sent, what came out, and what was made of it."""
        reached: list[int] = []
        reach = Reservation.reach

        async def noted(self: Reservation, total_bytes: int) -> None:
            reached.append(total_bytes)
            await reach(self, total_bytes)

        monkeypatch.setattr(Reservation, "reach", noted)
        content = foreign(tmp_path, "vdi", small_disk())
        body = (await upload(client, gzip.compress(content))).json()
        assert {len(content), body["size_bytes"]} <= set(reached)

    async def test_a_cancelled_one_leaves_nothing(
        self, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        converting, ended = asyncio.Event(), asyncio.Event()

        async def convert(*_: Any, **__: Any) -> None:
            converting.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async def chunks() -> AsyncIterator[bytes]:
            yield foreign(tmp_path, "vmdk", small_disk())

        async def run() -> None:
            async with lab.images.receive(ADMIN, NewImage(name="x"), chunks()):
                pass

        monkeypatch.setattr(image_intake, "convert", convert)
        task = asyncio.create_task(run())
        async with asyncio.timeout(60):
            await converting.wait()
            assert len(files(lab)) == 2
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert ended.is_set()
        assert files(lab) == []
