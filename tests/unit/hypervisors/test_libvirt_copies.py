"""Copies of images as files: what is listed, what is young, and what an overlay needs."""

import os
import struct
from pathlib import Path
from uuid import uuid4

import pytest

from parcela.hypervisors.libvirt.imagefiles import backing_file, list_copies, remove_copy, touch_copy
from parcela.hypervisors.libvirt.layout import Layout

DIGEST = "a" * 64
OLD_S = 7200


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.make_folders()
    return made


def put(layout: Layout, name: str, *, age_s: float = OLD_S) -> Path:
    path = layout.images / name
    path.write_bytes(b"disk")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age_s))
    return path


def put_overlay(layout: Layout, backing: Path, name: str = "disk.qcow2") -> None:
    folder = layout.vm(uuid4())
    folder.mkdir()
    text = str(backing).encode()
    (folder / name).write_bytes(b"QFI\xfb" + struct.pack(">IQI", 3, 64, len(text)).ljust(60, b"\0") + text)


def test_copies_and_rests_are_listed_and_strangers_are_not(layout: Layout) -> None:
    for name in (f"{DIGEST}.qcow2", f"{DIGEST}.kernel", ".tmp-1234", "notes.txt", ".lock"):
        put(layout, name)
    found = {copy.name: (copy.sha256, copy.size_bytes) for copy in list_copies(layout)}
    assert found == {f"{DIGEST}.qcow2": (DIGEST, 4), f"{DIGEST}.kernel": (DIGEST, 4), ".tmp-1234": ("", 4)}
    assert all(copy.age_s >= OLD_S for copy in list_copies(layout))


def test_there_may_be_no_folder_yet(tmp_path: Path) -> None:
    assert list_copies(Layout(tmp_path / "nothing")) == ()


def test_an_old_copy_goes(layout: Layout) -> None:
    path = put(layout, f"{DIGEST}.qcow2")
    assert remove_copy(layout, path, 3600)
    assert not path.exists()
    assert remove_copy(layout, path, 3600)


def test_one_that_ensure_image_has_found_stays(layout: Layout) -> None:
    path = put(layout, f"{DIGEST}.qcow2")
    assert touch_copy(layout, path)
    assert not remove_copy(layout, path, 3600)
    assert path.exists()
    assert not touch_copy(layout, layout.images / f"{DIGEST}.iso")


@pytest.mark.parametrize("name", ["disk.qcow2", ".tmp-half"])
def test_what_backs_an_overlay_stays_whoever_has_it(layout: Layout, name: str) -> None:
    path = put(layout, f"{DIGEST}.qcow2")
    put_overlay(layout, path, name)
    put_overlay(layout, layout.images / "another")
    assert not remove_copy(layout, path, 0)
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"QFI\xfb", b"#!/bin/sh\n" * 9, b"QFI\xfb" + b"\0" * 60])
def test_other_files_back_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert backing_file(tmp_path / "file") == ""
    assert backing_file(tmp_path) == ""
    assert backing_file(tmp_path / "missing") == ""
