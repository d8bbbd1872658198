"""The same domains without Parcela: a thread loop around libvirt-python, on files and bridges made beforehand."""

import math
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

from parcela.hypervisors.libvirt.xml.metadata import NAMESPACE

MARKER = b"PARCELA READY"
PANIC = b"Kernel panic"
POLL_S = 0.15
"""As often as Parcela's driver looks for the marker."""
PATIENCE_S = 600.0
"""How long one guest is waited for."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the beginning.

    A guest that was not ready in time (``lost``) counts with the patience that was had with it, so what is said about
    its side is too good rather than too bad. ``panics`` counts those of the kernels, which reboot after three seconds.
    """

    created: float
    ready: tuple[float, ...] = ()
    lost: int = 0
    panics: int = 0
    problems: tuple[str, ...] = ()

    @property
    def last(self) -> float:
        return max(self.ready)

    @property
    def median(self) -> float:
        return statistics.median(self.ready)


class BareLab:
    """Copies of the domains of a slice: other names, uuids, taps, bridges and disks; nothing else differs."""

    def __init__(self, connection: libvirt.virConnect, folder: Path, patience_s: float = PATIENCE_S) -> None:
        self._connection = connection
        self._patience_s = patience_s
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
        # Where our taps are plugged in: the loop leaves making its taps to libvirt.
        bridges = {port.attrib["tap"]: port.attrib["bridge"] for port in root.iter(f"{{{NAMESPACE}}}port")}
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
            target = _element(card, "target")
            bridge = self._bridges.setdefault(bridges[target.attrib["dev"]], f"brb{len(self._bridges)}")
            card.set("type", "bridge")
            ET.SubElement(card, "source", {"bridge": bridge})
            target.attrib.clear()
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
        problems: list[str] = []

        def start(index: int) -> bool:
            try:
                self._connection.defineXML(self._documents[index]).createWithFlags(flags)
            except libvirt.libvirtError as exc:  # forty at once may be too many for libvirt, too
                problems.append(str(exc))
                return False
            return True

        def one(index: int) -> float:
            if not start(index):
                return math.inf
            return 0.0 if paused or not staged else self._ready(index) - started

        def waited(index: int) -> float:
            return self._ready(index) - started if ready[index] == 0 else math.inf

        every = range(len(self._documents))
        try:
            with ThreadPoolExecutor(width) as threads:
                ready = list(threads.map(one, every))
            created = time.time() - started
            if not paused and not staged:
                with ThreadPoolExecutor(len(self._documents)) as threads:
                    ready = list(threads.map(waited, every))
            lost = sum(moment == math.inf for moment in ready)
            never = max(self._patience_s, time.time() - started)
            counted = () if paused else tuple(min(moment, never) for moment in ready)
            return Times(created, counted, lost, self._panics(), tuple(problems))
        finally:
            self._remove()

    def _ready(self, index: int) -> float:
        """Wait for the marker; the moment, which is never for a guest that is lost."""
        end = time.time() + self._patience_s
        while True:
            if self._logs[index].exists() and MARKER in self._logs[index].read_bytes():
                return time.time()
            if time.time() >= end:
                return math.inf
            time.sleep(POLL_S)

    def _panics(self) -> int:
        return sum(log.read_bytes().count(PANIC) for log in self._logs if log.exists())

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
