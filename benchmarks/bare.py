"""The same domains without Parcela: a thread loop around libvirt-python, on files and bridges made beforehand."""

import os
import shutil
import statistics
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import libvirt

MARKER = b"PARCELA READY"
POLL_S = 0.15
"""As often as Parcela's driver looks for the marker."""
DEADLINE_S = 900.0


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the beginning."""

    created: float
    ready: tuple[float, ...] = ()

    @property
    def last(self) -> float:
        return max(self.ready)

    @property
    def median(self) -> float:
        return statistics.median(self.ready)


class BareLab:
    """Copies of the domains of a slice: other names, uuids, taps, bridges and disks; nothing else differs."""

    def __init__(self, uri: str, folder: Path) -> None:
        self._connection = libvirt.open(uri)
        self._folder = folder
        self._folder.mkdir(mode=0o711)
        self._bridges: dict[str, str] = {}
        self._documents: list[str] = []
        self._logs: list[Path] = []

    def copy(self, uuids: Sequence[str]) -> None:
        """Take over the domains with these uuids, which must exist and be on, with their files."""
        for index, uuid in enumerate(uuids):
            text = self._connection.lookupByUUIDString(uuid).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            self._documents.append(self._rewritten(ET.fromstring(text), index))  # noqa: S314 (libvirtd wrote it)
        for bridge in self._bridges.values():
            _ip("link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0")
            _ip("link", "set", bridge, "up")

    def _rewritten(self, root: ET.Element, index: int) -> str:
        _element(root, "name").text = f"bare{index}"
        _element(root, "uuid").text = str(uuid4())
        for tag in ("metadata", "title"):
            for element in root.findall(tag):
                root.remove(element)
        for number, disk in enumerate(root.findall("devices/disk")):
            source = _element(disk, "source")
            old, new = Path(source.attrib["file"]), self._folder / f"{index}-{number}"
            shutil.copyfile(old, new)
            shutil.copymode(old, new)
            os.chown(new, old.stat().st_uid, old.stat().st_gid)
            source.set("file", str(new))
        for number, card in enumerate(root.findall("devices/interface")):
            source = _element(card, "source")
            source.set("bridge", self._bridges.setdefault(source.attrib["bridge"], f"brb{len(self._bridges)}"))
            target = _element(card, "target")
            target.set("dev", f"brt{index}n{number}")
        log = self._folder / f"{index}.log"
        self._logs.append(log)
        for kind in ("serial", "console"):
            for element in root.findall(f"devices/{kind}/log"):
                element.set("file", str(log))
        return ET.tostring(root, encoding="unicode")

    def run(self, width: int, *, paused: bool, staged: bool = True) -> Times:
        """Define and start all of them, ``width`` at once; ``staged``: the next one begins when this one is ready."""
        started = time.time()
        flags = libvirt.VIR_DOMAIN_START_PAUSED if paused else 0

        def one(index: int) -> float:
            self._connection.defineXML(self._documents[index]).createWithFlags(flags)
            if paused or not staged:
                return 0.0
            return self._ready(index) - started

        try:
            with ThreadPoolExecutor(width) as threads:
                ready = list(threads.map(one, range(len(self._documents))))
            created = time.time() - started
            if not paused and not staged:
                with ThreadPoolExecutor(len(self._documents)) as threads:
                    ready = [moment - started for moment in threads.map(self._ready, range(len(self._documents)))]
            return Times(created, () if paused else tuple(ready))
        finally:
            self._remove()

    def _ready(self, index: int) -> float:
        """Wait for the marker; the moment."""
        end = time.time() + DEADLINE_S
        while time.time() < end:
            if self._logs[index].exists() and MARKER in self._logs[index].read_bytes():
                return time.time()
            time.sleep(POLL_S)
        raise TimeoutError(f"guest {index} is not ready: {self._logs[index].read_bytes()[-500:]!r}")

    def _remove(self) -> None:
        for domain in self._connection.listAllDomains():
            if domain.name().startswith("bare"):
                _tolerating(domain.destroy)
                domain.undefine()
        for log in self._logs:
            log.unlink(missing_ok=True)

    def close(self) -> None:
        self._remove()
        for bridge in self._bridges.values():
            _ip("link", "del", bridge)
        self._connection.close()


def _element(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(tag)
    assert found is not None, tag
    return found


def _tolerating(call: Callable[[], object]) -> None:
    try:
        call()
    except libvirt.libvirtError:
        return


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
