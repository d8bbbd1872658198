"""Whatever stands in the headers and tables of a file, it is taken or refused with a word, and never an accident."""

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from parcela.core.errors import ParcelaError
from parcela.services.catalogue.image_files.foreign_disks import examine_foreign
from parcela.services.catalogue.image_files.image_files import examine
from parcela.services.catalogue.image_files.image_kinds import recognise
from parcela.services.catalogue.image_files.image_lengths import check_length
from tests.integration.catalogue.disks import KIB, iso
from tests.integration.catalogue.foreign_files import stream_optimized
from tests.integration.catalogue.test_image_damage import MIB, converted, partitioned
from tests.integration.catalogue.test_image_sources import foreign, small_disk

WORDS = (b"\xff" * 8, bytes(8), b"\x80" + bytes(7), bytes(7) + b"\x80", b"\1" + bytes(7), bytes(7) + b"\1")
PLACES = {
    "qcow2": (0, 64 * KIB, 128 * KIB, 192 * KIB, 256 * KIB),
    "vmdk": (0, 20 * 512),
    "vdi": (0, 64, 340, 368, 512),
    "vhd": (0, 512, 1536, -512),
    "vhd of fixed size": (-512,),
    "vhdx": (192 * KIB, 256 * KIB, 2 * MIB, 2 * MIB + 64 * KIB, 3 * MIB),
    "streams": (0, 512, -1024, -1536, -2048, -4096),
    "gpt": (440, 512, 1024),
    "udf": (16 * 2048, 32 * 2048 + 128, 33 * 2048, 256 * 2048),
}


def made(folder: Path, kind: str) -> bytes:
    """A whole file of a kind."""
    if kind == "qcow2":
        return converted(folder)
    if kind == "streams":
        return stream_optimized(small_disk())
    if kind == "gpt":
        return partitioned(folder, "gpt")
    if kind == "udf":
        content = bytearray(iso(600 * KIB))
        for sector, tag, place, values in ((256, 2, 16, (4096, 32)), (32, 5, 188, (257, 43))):
            struct.pack_into("<H", content, sector * 2048, tag)
            content[sector * 2048 + 4] = tag
            struct.pack_into("<II", content, sector * 2048 + place, *values)
        return bytes(content)
    return foreign(folder, kind, small_disk())


def changes(content: bytes, kind: str, seed: int) -> Iterator[tuple[int, bytes]]:
    """(place, bytes that are put there): every number of the first 128 bytes of each structure, and noise."""
    chosen = random.Random(seed)  # noqa: S311 (not for secrets)
    for start in PLACES[kind]:
        for offset in range(0, 128, 4):
            place = min(start % len(content) + offset, len(content) - 8)
            for word in chosen.sample(WORDS, 3):
                yield place, word[: chosen.choice((4, 8))]
            yield place, chosen.randbytes(8)


@pytest.mark.parametrize("kind", PLACES)
def test_damage_is_no_accident(tmp_path: Path, kind: str) -> None:
    content = made(tmp_path, kind)
    path = tmp_path / "file"
    path.write_bytes(content)
    refused = []
    for place, word in changes(content, kind, seed=len(kind)):
        with path.open("r+b") as file:
            file.seek(place)
            file.write(word)
        try:
            found = recognise(path)
            if found.is_converted:
                examine_foreign(path, found)
            else:
                check_length(path, examine(path))
        except ParcelaError as error:
            refused.append(error)
        with path.open("r+b") as file:
            file.seek(place)
            file.write(content[place : place + 8])
    assert refused
    assert all(error.problems for error in refused)
