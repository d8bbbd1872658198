"""Files that were cut off or damaged on their way, made with the tools that people use, and sent over HTTP."""

import random
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from parcela.api.routers import images
from tests.integration.catalogue.disks import GIB, KIB, iso, qcow2, raw_disk
from tests.integration.catalogue.support import Client, Lab, open_client, problem

pytestmark = pytest.mark.anyio
MIB = KIB * KIB
VARIANTS = {
    "plain": (),
    "version 2": ("-o", "compat=0.10"),
    "zlib": ("-c",),
    "zstd": ("-c", "-o", "compression_type=zstd"),
    "small clusters": ("-o", "cluster_size=4k"),
    "subclusters": ("-o", "extended_l2=on"),
    "preallocated": ("-o", "preallocation=metadata"),
    "out of order": ("-W", "-m", "4"),
}


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[Client]:
    async with open_client(lab, images.router) as made:
        yield made


async def upload(client: Client, content: bytes, name: str = "img") -> Any:
    return await client.call("POST", "/images/", params={"name": name}, content=content)


async def refused(client: Client, content: bytes, code: str) -> str:
    """The sentence of a refusal, after which nothing is left."""
    told = problem(await upload(client, content), 422, code)
    assert [item["code"] for item in told["problems"]] == [code]
    assert (await client.call("GET", "/images/")).json()["items"] == []
    return str(told["detail"])


def guest_disk(seed: int = 8, size: int = 3 * MIB) -> bytes:
    """A raw disk with a boot sector, words that compress, noise that does not, and holes."""
    chosen = random.Random(seed)  # noqa: S311 (not for secrets)
    disk = bytearray(raw_disk(size))
    for _ in range(6):
        start = chosen.randrange(1, size // 4096 - 32) * 4096
        piece = chosen.choice([chosen.randbytes(90_000), b"words of a guest " * 6000])
        disk[start : start + len(piece)] = piece
    disk[-4096:] = chosen.randbytes(4096)
    return bytes(disk[:size])


def converted(folder: Path, *options: str, form: str = "qcow2", disk: bytes | None = None) -> bytes:
    """A disk image as qemu-img writes it."""
    (folder / "source").write_bytes(disk or guest_disk())
    command = ["qemu-img", "convert", "-f", "raw", "-O", form, *options, str(folder / "source"), str(folder / "made")]
    subprocess.run(command, check=True)
    return (folder / "made").read_bytes()


def partitioned(folder: Path, label: str, size: int = 2 * MIB) -> bytes:
    """A raw disk with a partition from 1 MiB to its end."""
    path = folder / "partitioned"
    path.write_bytes(bytes(size))
    text = f"label: {label}\nstart=2048\n"
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", str(path)], input=text.encode(), check=True, capture_output=True)
    return path.read_bytes()


def cuts(size: int, seed: int) -> list[int]:
    """Lengths of a file that lost its end: by a byte, a sector, a cluster, and at random places."""
    chosen = random.Random(seed)  # noqa: S311 (not for secrets)
    return [size - 1, size - 512, size - 4096, *(chosen.randrange(1, size) for _ in range(5))]


class TestQcow2:
    @pytest.mark.parametrize("variant", VARIANTS)
    async def test_whole_is_taken_and_cut_off_is_not(self, client: Client, tmp_path: Path, variant: str) -> None:
        content = converted(tmp_path, *VARIANTS[variant])
        for length in cuts(len(content), seed=len(variant)):
            answer = await upload(client, content[:length])
            told = answer.json()
            assert answer.status_code == 422, length
            assert told["code"] in {"image_cut_off", "image_header_damaged", "image_not_recognised"}, (length, told)
            if told["code"] == "image_cut_off":
                assert f"has {length};" in told["detail"]
        assert (await upload(client, content)).status_code == 201

    async def test_the_lengths_are_said(self, client: Client, tmp_path: Path) -> None:
        content = converted(tmp_path)
        told = await refused(client, content[: -8 * 65536], "image_cut_off")
        assert f"at least {len(content)} bytes" in told
        assert f"{8 * 65536} are missing" in told

    async def test_tables_beyond_the_end(self, client: Client, tmp_path: Path) -> None:
        content = converted(tmp_path)
        for place in (40, 48):  # of the first-level table, of the refcounts
            moved = bytearray(content)
            struct.pack_into(">Q", moved, place, len(content) + 65536)
            assert "has" in await refused(client, bytes(moved), "image_cut_off")

    async def test_a_damaged_entry_is_named(self, client: Client, tmp_path: Path) -> None:
        content = converted(tmp_path)
        l1 = struct.unpack_from(">Q", content, 40)[0]
        l2 = struct.unpack_from(">Q", content, l1)[0] & 0x00FF_FFFF_FFFF_FE00
        for place, entry in ((l2, 1 << 63 | l2), (l2, 1 << 63 | 0x10200), (l1, 1 << 63 | 0x1E00)):
            broken = bytearray(content)
            struct.pack_into(">Q", broken, place, entry)
            assert "qemu-img check" in await refused(client, bytes(broken), "image_damaged")
        broken = bytearray(content)
        struct.pack_into(">Q", broken, l2, 1 << 63 | 1 << 50)
        assert "points to byte" in await refused(client, bytes(broken), "image_damaged")

    async def test_wrong_refcounts(self, client: Client, tmp_path: Path) -> None:
        content = bytearray(converted(tmp_path))
        table = struct.unpack_from(">Q", content, 48)[0]
        block = struct.unpack_from(">Q", content, table)[0]
        content[block + 10 : block + 12] = b"\0\0"
        told = await refused(client, bytes(content), "image_damaged")
        assert "cluster 5 refcount=0 reference=1" in told

    @pytest.mark.parametrize("variant", ["zlib", "zstd"])
    async def test_compressed_clusters_are_read(self, client: Client, tmp_path: Path, variant: str) -> None:
        """`qemu-img check` looks at the tables only."""
        content = bytearray(converted(tmp_path, *VARIANTS[variant]))
        l1 = struct.unpack_from(">Q", content, 40)[0]
        l2 = struct.unpack_from(">Q", content, l1)[0] & 0x00FF_FFFF_FFFF_FE00
        entry = next(entry for (entry,) in struct.iter_unpack(">Q", content[l2 : l2 + 512]) if entry >> 62 == 1)
        place = entry & ((1 << 54) - 1)
        content[place : place + 64] = b"\xff" * 64
        assert _checked(tmp_path, content) == 0
        assert "while reading" in await refused(client, bytes(content), "image_damaged")

    async def test_leaks_only_take_space(self, client: Client, tmp_path: Path) -> None:
        content = bytearray(converted(tmp_path))
        table = struct.unpack_from(">Q", content, 48)[0]
        block = struct.unpack_from(">Q", content, table)[0]
        content += bytes(65536)
        struct.pack_into(">H", content, block + 2 * (len(content) // 65536 - 1), 1)
        assert _checked(tmp_path, content) == 3
        assert (await upload(client, bytes(content))).status_code == 201

    async def test_a_table_named_many_times_is_read_once(self, client: Client, tmp_path: Path) -> None:
        content = bytearray(qcow2(tmp_path / "a", "1T"))
        content += bytes(-len(content) % 65536)
        entries = struct.pack(">Q", 1 << 63 | len(content)) * 200_000
        struct.pack_into(">IQ", content, 36, 200_000, len(content) + 65536)
        content += bytes(65536) + entries
        await refused(client, bytes(content), "image_damaged")

    async def test_findings_do_not_show_places_of_the_server(self, client: Client, lab: Lab, tmp_path: Path) -> None:
        content = bytearray(converted(tmp_path))
        struct.pack_into(">Q", content, 40, 0x1234)
        answer = await upload(client, bytes(content))
        assert answer.status_code == 422
        assert str(lab.settings.data_dir) not in answer.text


def _checked(folder: Path, content: bytes | bytearray) -> int:
    (folder / "checked").write_bytes(content)
    return subprocess.run(["qemu-img", "check", "-q", str(folder / "checked")], check=False).returncode


class TestRaw:
    @pytest.mark.parametrize("label", ["dos", "gpt"])
    async def test_shorter_than_its_partition_table(self, client: Client, tmp_path: Path, label: str) -> None:
        content = partitioned(tmp_path, label)
        chosen = random.Random(3)  # noqa: S311 (not for secrets)
        for sectors in (1, 2, 2000, *(chosen.randrange(3, 4000) for _ in range(5))):
            told = await refused(client, content[: -sectors * 512], "image_cut_off")
            assert f"has {len(content) - sectors * 512};" in told
        assert (await upload(client, content)).status_code == 201

    async def test_a_file_system_without_partitions(self, client: Client) -> None:
        for place, kind, field in ((54, b"FAT16   ", ("<H", 19, 128)), (3, b"NTFS    ", ("<Q", 40, 128))):
            disk = bytearray(raw_disk())
            disk[0:3], disk[11:13], disk[place : place + 8] = b"\xeb\x3c\x90", struct.pack("<H", 512), kind
            struct.pack_into(field[0], disk, field[1], field[2])
            # What would be the table of partitions is the program that boots it.
            disk[446:510] = bytes(range(1, 65))
            await refused(client, bytes(disk[:-512]), "image_cut_off")
            assert (await upload(client, bytes(disk), kind.decode().strip())).status_code == 201
            made = (await client.call("GET", "/images/")).json()["items"][0]
            assert (await client.call("DELETE", f"/images/{made['id']}")).status_code == 204

    async def test_the_program_of_a_boot_sector_is_no_table(self, client: Client) -> None:
        disk = bytearray(raw_disk())
        disk[446:510] = bytes([0x90] * 64)
        assert (await upload(client, bytes(disk))).status_code == 201


class TestIso:
    async def test_shorter_than_its_volume(self, client: Client) -> None:
        content = bytearray(iso(128 * KIB))
        content[32768] = 1
        struct.pack_into("<I", content, 32768 + 80, 64)
        struct.pack_into("<H", content, 32768 + 128, 2048)
        for length in (len(content) - 1, len(content) - 2048, 70_000):
            told = await refused(client, bytes(content[:length]), "image_cut_off")
            assert f"at least {len(content)} bytes" in told
        assert (await upload(client, bytes(content) + bytes(2048))).status_code == 201

    async def test_shorter_than_its_udf_partition(self, client: Client) -> None:
        """Installation media of Windows: the ISO 9660 volume holds a note only."""
        content = bytearray(iso(600 * KIB))
        for sector, tag, place, values in ((256, 2, 16, (4096, 32)), (32, 5, 188, (257, 43)), (33, 8, 16, (0, 0))):
            struct.pack_into("<H", content, sector * 2048, tag)
            content[sector * 2048 + 4] = tag
            struct.pack_into("<II", content, sector * 2048 + place, *values)
        await refused(client, bytes(content[:-1]), "image_cut_off")
        assert (await upload(client, bytes(content))).status_code == 201


async def test_a_whole_empty_disk_is_taken(client: Client, tmp_path: Path) -> None:
    made = await upload(client, qcow2(tmp_path / "a", "3G"))
    assert (made.status_code, made.json()["virtual_size_bytes"]) == (201, 3 * GIB)
