"""Files of VMs are readable by us and by QEMU's group, and by no other user, whatever the umask is."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from parcela.hypervisors.libvirt import disks
from parcela.hypervisors.libvirt.disks import DiskStore
from parcela.hypervisors.libvirt.layout import Layout
from parcela.hypervisors.libvirt.qemuuser import QemuUser
from tests.unit.hypervisors.test_libvirt_disks import a_vm, an_image

pytestmark = pytest.mark.anyio

# A group that anybody may give files to: our own.
US = QemuUser(os.geteuid(), os.getegid())
PUBLIC = 0o007


@pytest.fixture(autouse=True, params=[0o000, 0o022])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskStore]:
    made = DiskStore(Layout(tmp_path / "state"), "ours")
    made.open()
    yield made
    made.close()


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


@pytest.mark.parametrize(("user", "read_only"), [(US, 0o440), (None, 0o400)])
async def test_new_files(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: QemuUser | None, read_only: int
) -> None:
    seen: list[int] = []

    async def fake(*arguments: str, doing: str) -> None:
        assert doing
        seen.append(mode(Path(arguments[-2])))  # its name is in the list of processes

    monkeypatch.setattr(disks, "qemu_img", fake)
    source = tmp_path / "source"
    source.write_bytes(b"an image")
    image = replace(an_image("1"), sha256=hashlib.sha256(b"an image").hexdigest(), source_path=str(source))
    await store.ensure_image(image, user)
    vm = a_vm(1, image)
    await store.make_folder(vm)
    await store.ensure_disk(vm, user)
    await store.write_seed(vm, user)
    layout = store.layout
    assert seen == [0o600]
    assert mode(layout.image(image)) == read_only
    assert mode(layout.seed(vm.uuid)) == read_only
    assert mode(layout.disk(vm.uuid)) == 0o600
    assert mode(layout.vm(vm.uuid) / "owner.json") == 0o600


async def test_files_under_way_are_closed_too(
    store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"an image")
    image = replace(an_image("1"), sha256=hashlib.sha256(b"an image").hexdigest(), source_path=str(source))
    seen: list[int] = []
    real_replace = Path.replace

    def spy(self: Path, target: Path) -> Path:
        seen.append(mode(self))
        return real_replace(self, target)

    def spy_open(self: Path, how: str = "r", **more: object) -> object:
        if how == "wb":
            seen.append(mode(self))
        return real_open(self, how, **more)  # type: ignore[call-overload]

    real_open = Path.open
    monkeypatch.setattr(Path, "replace", spy)
    monkeypatch.setattr(Path, "open", spy_open)
    await store.ensure_image(image, US)
    assert seen == [0o600, 0o440]


def test_files_of_an_older_version_are_corrected(store: DiskStore) -> None:
    layout, vm = store.layout, uuid4()
    layout.make_folders()
    layout.vm(vm).mkdir()
    old = {
        layout.images / "0.qcow2": 0o440,
        layout.images / "0.kernel": 0o440,
        layout.images / ".tmp-half": 0o600,
        layout.seed(vm): 0o440,
        layout.disk(vm): 0o600,
        layout.serial_log(vm): 0o600,
        layout.reboot_offset(vm): 0o600,
        layout.vm(vm) / "owner.json": 0o600,
        layout.vm(vm) / ".tmp-blank": 0o600,
    }
    for path in old:
        path.touch()
        path.chmod(0o644)
    for _ in range(2):
        layout.close_to_strangers(US)
        assert {path: mode(path) for path in old} == old
    layout.close_to_strangers(None)
    assert mode(layout.seed(vm)) == 0o400
    assert not any(mode(path) & PUBLIC for path in old)
