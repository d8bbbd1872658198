"""Overlays of VMs: qemu-img makes one of a kind, and the others are copies of it."""

from pathlib import Path
from uuid import uuid4

import pytest

from parcela.hypervisors.libvirt import disks
from parcela.hypervisors.libvirt.disks import DiskStore
from parcela.hypervisors.libvirt.layout import Layout
from parcela.hypervisors.spec import GuestConfig, ImageFormat, ImageSpec, VmSpec

pytestmark = pytest.mark.anyio


def a_vm(disk_gib: int, image: ImageSpec) -> VmSpec:
    return VmSpec(
        uuid=uuid4(),
        name="web",
        slice_uuid=None,
        owner="alice",
        vcpus=1,
        memory_mib=128,
        disk_gib=disk_gib,
        image=image,
        nics=(),
        guest=GuestConfig(hostname="web"),
    )


def an_image(digit: str, image_format: ImageFormat = ImageFormat.RAW) -> ImageSpec:
    return ImageSpec(sha256=digit * 64, format=image_format, source_path="", virtual_size_bytes=1024**3)


def write(path: Path, text: str) -> None:
    path.write_text(text)


async def test_one_overlay_of_a_kind_is_made_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    async def fake(*arguments: str, doing: str) -> None:
        assert doing
        asked.append(arguments)
        write(Path(arguments[-2]), " ".join(word for word in arguments if "/.tmp" not in word))

    monkeypatch.setattr(disks, "qemu_img", fake)
    store = DiskStore(Layout(tmp_path), "ours")
    store.open()
    one, other, iso = an_image("1"), an_image("2"), an_image("3", ImageFormat.ISO)
    vms = [a_vm(1, one), a_vm(1, one), a_vm(2, one), a_vm(1, other), a_vm(1, iso)]
    for vm in vms:
        await store.make_folder(vm)
        await store.ensure_disk(vm, None)
        await store.replace_disk(vm, None)
    store.close()
    gib = 1024**3
    texts = [store.layout.disk(vm.uuid).read_text() for vm in vms]
    assert texts == [
        f"create -q -f qcow2 -b {tmp_path}/images/{'1' * 64}.raw -F raw {gib}",
        f"create -q -f qcow2 -b {tmp_path}/images/{'1' * 64}.raw -F raw {gib}",
        f"create -q -f qcow2 -b {tmp_path}/images/{'1' * 64}.raw -F raw {2 * gib}",
        f"create -q -f qcow2 -b {tmp_path}/images/{'2' * 64}.raw -F raw {gib}",
        f"create -q -f qcow2 {gib}",
    ]
    assert len(asked) == 4
    for vm in vms:
        disk = store.layout.disk(vm.uuid)
        assert disk.stat().st_mode & 0o777 == 0o600
        assert sorted(path.name for path in disk.parent.iterdir()) == ["disk.qcow2", "owner.json"]
