import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.hypervisors.spec import ImageFormat
from parcela.services.catalogue.image_files.image_files import ImageFacts, examine
from parcela.services.catalogue.image_files.qemu_img import confirm
from tests.integration.catalogue.disks import GIB, extension, iso, qcow2, qcow2_header, raw_disk


def judge(folder: Path, content: bytes) -> ImageFacts:
    path = folder / "file"
    path.write_bytes(content)
    return examine(path)


def refused(folder: Path, content: bytes) -> str:
    with pytest.raises(ParcelaError) as caught:
        judge(folder, content)
    assert caught.value.kind is ErrorKind.INVALID
    assert caught.value.problems[0].code == caught.value.code
    return caught.value.code


def test_formats_are_recognised_by_content(tmp_path: Path) -> None:
    assert judge(tmp_path, qcow2(tmp_path / "a", "3G")) == ImageFacts(ImageFormat.QCOW2, 3 * GIB)
    assert judge(tmp_path, qcow2(tmp_path / "b", "1G", "-o", "compat=0.10")).format is ImageFormat.QCOW2
    assert judge(tmp_path, raw_disk()) == ImageFacts(ImageFormat.RAW, 65536)
    assert judge(tmp_path, iso()) == ImageFacts(ImageFormat.ISO, 65536)


def test_usual_features_are_taken(tmp_path: Path) -> None:
    for options in ("compression_type=zstd", "extended_l2=on,cluster_size=128k", "lazy_refcounts=on"):
        assert judge(tmp_path, qcow2(tmp_path / "a", "1G", "-o", options)).format is ImageFormat.QCOW2


def test_files_that_point_to_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "base").write_bytes(raw_disk())
    real = qcow2(tmp_path / "a", "64M", "-b", "/etc/passwd", "-F", "raw", "-u")
    assert refused(tmp_path, real) == "image_has_backing_file"
    assert refused(tmp_path, qcow2_header(backing=b"/etc/passwd")) == "image_has_backing_file"
    assert refused(tmp_path, qcow2_header(version=2, backing=b"/etc/shadow")) == "image_has_backing_file"
    data_file = qcow2(tmp_path / "b", "64M", "-o", f"data_file={tmp_path / 'data'}")
    assert refused(tmp_path, data_file) == "image_has_data_file"
    named = qcow2_header(extensions=extension(0x44415441, b"/etc/passwd") + extension(0, b""))
    assert refused(tmp_path, named) == "image_has_data_file"
    later = extension(0x6803F857, b"\0" * 48) + extension(0x44415441, b"/etc/passwd")
    assert refused(tmp_path, qcow2_header(extensions=later)) == "image_has_data_file"
    assert refused(tmp_path, qcow2_header(extensions=extension(0xE2792ACA, b"raw"))) == "image_has_backing_file"


def test_what_a_guest_could_not_boot_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, qcow2_header(encryption=1)) == "image_is_encrypted"
    assert refused(tmp_path, qcow2_header(extensions=extension(0x0537BE77, b"\0" * 16))) == "image_is_encrypted"
    assert refused(tmp_path, qcow2_header(incompatible=2)) == "image_is_corrupt"
    assert refused(tmp_path, qcow2_header(incompatible=1 << 40)) == "image_feature_unknown"
    assert refused(tmp_path, qcow2_header(version=4)) == "image_feature_unknown"
    assert refused(tmp_path, qcow2_header(virtual_size=0)) == "image_disk_size"
    assert refused(tmp_path, qcow2_header(virtual_size=2**62)) == "image_disk_size"
    assert refused(tmp_path, qcow2_header(cluster_bits=63)) == "image_header_damaged"
    assert refused(tmp_path, qcow2_header(length=72)) == "image_header_damaged"
    assert refused(tmp_path, qcow2_header(extensions=struct.pack(">II", 5, 2**32 - 1))) == "image_header_damaged"


@pytest.mark.parametrize("size", [4, 20, 71, 72, 100, 103, 104, 4096, 65535])
def test_cut_off_headers_are_refused(tmp_path: Path, size: int) -> None:
    assert refused(tmp_path, qcow2_header()[:size]) == "image_header_damaged"


@pytest.mark.parametrize(
    "content", [b"", b"QFI", b"MZ" + b"\0" * 65536, b"root:x:0:0::/root:/bin/sh\n", b"\x7fELF" * 500]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    assert refused(tmp_path, content) == "image_not_recognised"


def test_a_raw_disk_has_whole_sectors(tmp_path: Path) -> None:
    assert refused(tmp_path, raw_disk(70_001)) == "image_disk_size"


@settings(max_examples=300, deadline=None)
@given(noise=st.binary(max_size=400), at=st.integers(4, 200))
def test_no_header_makes_the_reader_fail(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    content = bytearray(qcow2_header())
    content[at : at + len(noise)] = noise
    folder = tmp_path_factory.getbasetemp()
    # Anything but a ParcelaError would fail the test.
    with contextlib.suppress(ParcelaError):
        assert judge(folder, bytes(content)).format is ImageFormat.QCOW2
        assert content[8:20] == bytes(12)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_qemu_img_has_the_second_word(tmp_path: Path) -> None:
    good = tmp_path / "good"
    facts = judge(tmp_path, qcow2(good, "3G"))
    assert await confirm(good, facts) == 3 * GIB
    fake = tmp_path / "fake"
    header = bytearray(qcow2_header())
    header[40:48] = b"\1" * 8  # the offset of the table of tables is no multiple of a cluster
    fake.write_bytes(header)
    with pytest.raises(ParcelaError) as caught:
        await confirm(fake, ImageFacts(ImageFormat.QCOW2, 1))
    assert caught.value.code == "image_unreadable"


@pytest.mark.anyio
async def test_a_raw_file_is_never_probed(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_bytes(qcow2(tmp_path / "overlay", "64M", "-b", "/etc/passwd", "-F", "raw", "-u"))
    sectors = -(-trap.stat().st_size // 512)
    assert await confirm(trap, ImageFacts(ImageFormat.RAW, 1)) == 512 * sectors


@pytest.mark.anyio
async def test_a_hanging_or_missing_qemu_img_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = ImageFacts(ImageFormat.RAW, 1)
    program = tmp_path / "bin" / "qemu-img"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    with pytest.raises(ParcelaError, match="did not finish"):
        await confirm(tmp_path, facts, timeout_s=0.2)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ParcelaError, match="no qemu-img") as caught:
        await confirm(tmp_path, facts)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
