"""Who QEMU runs as, and which folder keeps that user out."""

import os
from pathlib import Path

import pytest

from parcela.hypervisors.libvirt.qemuuser import QemuUser, first_closed, may_pass, parse_qemu_user

NOBODYS = QemuUser(4_000_000, 4_000_001)
ROOT = QemuUser(0, 0)


def capabilities(*models: tuple[str, str]) -> str:
    inside = "".join(
        f"<secmodel><model>{model}</model><doi>0</doi><baselabel type='kvm'>{label}</baselabel>"
        f"<baselabel type='qemu'>{label}</baselabel></secmodel>"
        for model, label in models
    )
    return f"<capabilities><host>{inside}</host></capabilities>"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        (capabilities(("apparmor", ""), ("dac", "+64055:+106")), QemuUser(64055, 106)),
        (capabilities(("none", "")), None),
        (capabilities(("dac", "libvirt-qemu:kvm")), None),
        ("<capabilities><host/></capabilities>", None),
    ],
)
def test_the_user_is_in_the_capabilities(text: str, user: QemuUser | None) -> None:
    assert parse_qemu_user(text) == user


def test_a_user_without_a_name_is_a_number() -> None:
    assert NOBODYS.name == "4000000"
    assert NOBODYS.groups() == {4_000_001}
    assert ROOT.name == "root"


def folder(mode: int, uid: int, gid: int) -> os.stat_result:
    return os.stat_result((0o40000 | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "passes"),
    [
        (0o700, 0, 0, False),
        (0o701, 0, 0, True),
        (0o710, 0, NOBODYS.gid, True),
        (0o706, 0, NOBODYS.gid, False),  # the group's bits count, not those of others
        (0o100, NOBODYS.uid, 0, True),
        (0o677, NOBODYS.uid, NOBODYS.gid, False),  # the owner's bits count
    ],
)
def test_the_class_that_fits_first_decides(mode: int, uid: int, gid: int, passes: bool) -> None:
    assert may_pass(folder(mode, uid, gid), NOBODYS) is passes


def test_the_first_closed_folder_from_the_top(tmp_path: Path) -> None:
    outer, link = tmp_path / "outer", tmp_path / "link"
    (outer / "inner").mkdir(parents=True)
    link.symlink_to(outer)
    closed = {(outer / "inner").stat().st_ino, outer.stat().st_ino}

    def passes(facts: os.stat_result, _user: QemuUser) -> bool:
        return facts.st_ino not in closed

    missing = link / "inner" / "not" / "there"
    assert first_closed(missing, NOBODYS, passes) == outer.resolve()
    closed.remove(outer.stat().st_ino)
    assert first_closed(missing, NOBODYS, passes) == (outer / "inner").resolve()
    closed.clear()
    assert first_closed(missing, NOBODYS, passes) is None


def test_what_cannot_be_told_is_no_accusation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    def refuse(_path: object) -> list[str]:
        raise PermissionError

    assert first_closed(closed, NOBODYS) is not None
    assert first_closed(closed, ROOT) is None
    with monkeypatch.context() as patch:  # an access control list may let the user in
        patch.setattr(os, "listxattr", lambda _path: ["system.posix_acl_access"])
        assert first_closed(closed, NOBODYS) is None
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        assert first_closed(closed, NOBODYS) is None
