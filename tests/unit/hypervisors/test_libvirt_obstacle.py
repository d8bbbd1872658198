"""A VM that could never start is not begun."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("libvirt")

from parcela.hypervisors.errors import FatalDriverError
from parcela.hypervisors.libvirt.driver import LibvirtDriver
from parcela.hypervisors.libvirt.qemuuser import QemuUser
from tests.unit.hypervisors.simulated_lab import vm

pytestmark = pytest.mark.anyio


class FakeLibvirtd:
    """Answers as one that has no domain, and whose QEMU runs as nobody's user."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def getCapabilities(self) -> str:  # noqa: N802 - libvirt's name
        model = "<secmodel><model>dac</model><baselabel>+4000000:+4000000</baselabel></secmodel>"
        return f"<capabilities><host>{model}</host></capabilities>"

    async def run(self, doing: str, call: Callable[["FakeLibvirtd"], object]) -> object:
        self.asked.append(doing)
        return call(self) if "user" in doing else False


async def test_nothing_is_made_where_qemu_cannot_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    driver = LibvirtDriver("rack1", "inst", "qemu:///system", closed / "hypervisor", acceleration="tcg")
    host = driver._host
    libvirtd = FakeLibvirtd()
    monkeypatch.setattr(host, "calls", libvirtd)
    host.store.open()
    try:
        with pytest.raises(FatalDriverError, match="QEMU's user may not enter the folder of the disks") as refused:
            await driver.create_vm(vm(name="web"))
        assert str(tmp_path) not in refused.value.message  # users read it
        folder = await host.closed_folder()
        assert folder is not None
        obstacle = await driver._obstacle()
        assert f"the user 4000000, who may not enter {folder}," in obstacle
    finally:
        host.store.close()
    assert not (closed / "hypervisor").exists()
    assert libvirtd.asked == ["make VM web", "ask for QEMU's user"]
    assert host.qemu_user == QemuUser(4_000_000, 4_000_000)
