"""The bundled guest as ``guest/build.sh`` leaves it: ``manifest.json`` and the files it names."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parcela.core.errors import ParcelaError, invalid


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the guest."""

    path: Path
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BundledImage:
    """What the manifest says; kernel and initrd are None for a guest that boots from its disk."""

    name: str
    version: str
    disk: Part
    kernel: Part | None
    initrd: Part | None
    cmdline: str
    ready_marker: str | None
    min_memory_mib: int
    description: str = "The bundled guest: small, quick to boot, with a shell on its serial console."

    def files(self) -> Iterator[tuple[str, Part, str]]:
        """(column of the path, file, suffix in the store)."""
        yield "path", self.disk, "qcow2"
        if self.kernel:
            yield "kernel_path", self.kernel, "kernel"
        if self.initrd:
            yield "initrd_path", self.initrd, "initrd"

    def columns(self) -> dict[str, Any]:
        """Columns of the image that come from the manifest."""
        return {
            "os_type": "linux",
            "os_version": self.version[:64],
            "sha256": self.disk.sha256,
            "size_bytes": self.disk.size_bytes,
            "kernel_sha256": self.kernel.sha256 if self.kernel else "",
            "initrd_sha256": self.initrd.sha256 if self.initrd else "",
            "cmdline": self.cmdline,
            "ready_marker": self.ready_marker,
            "min_memory_mib": self.min_memory_mib,
        }


def read_manifest(guest_dir: Path) -> BundledImage | None:
    """Read ``manifest.json`` of a folder; None when there is none. Blocking.

    Raises:
        ParcelaError: kind ``invalid``, code ``guest_manifest_damaged``.
    """
    path = guest_dir / "manifest.json"
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        disk = _part(guest_dir, raw.get("disk"))
        if disk is None:
            raise _damaged(path)
        return BundledImage(
            name=str(raw["name"]),
            version=str(raw.get("version", "")),
            disk=disk,
            kernel=_part(guest_dir, raw.get("kernel")),
            initrd=_part(guest_dir, raw.get("initrd")),
            cmdline=str(raw.get("cmdline", "")),
            ready_marker=raw.get("ready_marker"),
            min_memory_mib=int(raw.get("min_memory_mib", 128)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path) from error


def _part(guest_dir: Path, raw: Mapping[str, Any] | None) -> Part | None:
    if raw is None:
        return None
    name, sha256 = str(raw["file"]), str(raw["sha256"])
    if Path(name).name != name or re.fullmatch("[0-9a-f]{64}", sha256) is None:
        raise ValueError(name)
    return Part(guest_dir / name, sha256, int(raw["size_bytes"]))


def _damaged(path: Path) -> ParcelaError:
    return invalid("guest_manifest_damaged", f"{path} is damaged; build the guest again.")
