"""Space of the folders the server itself writes to: the data folder, and that of a SQLite file which is elsewhere."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog

from parcela.core.disks import MIB, DiskSpace, LowLimit, human
from parcela.core.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FolderSpace:
    """A folder at one moment.

    Attributes:
        name: for people, without its path.
        space: of its file system; None when it cannot be asked.
        shortage: why it is short of space; "" when it is not.
    """

    name: str
    space: DiskSpace | None
    shortage: str

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be written."""
        return self.space is None or not self.space.free_mib or bool(self.space.inodes and not self.space.inodes_free)

    @property
    def words(self) -> str:
        """What there is, for people."""
        if self.space is None:
            return "its file system does not answer"
        if self.shortage:
            return f"it is {'full' if self.is_full else 'short of space'}: {self.shortage}"
        return f"{human(self.space.free_mib)} of {human(self.space.size_mib)} are free"


class DataFolder:
    """Measures; the log gets one line when a folder becomes short of space and one when it is fine again."""

    def __init__(self, settings: Settings) -> None:
        """Take the folders from the settings."""
        self._limit: LowLimit = settings.disk_low
        self._folders = {"data folder": settings.data_dir}
        file = sqlite_file(settings.resolved_database_url)
        if file is not None and not file.absolute().is_relative_to(settings.data_dir.absolute()):
            self._folders["database folder"] = file.parent
        self._low: set[str] = set()

    async def look(self) -> list[FolderSpace]:
        """Measure all folders; on a thread, because a file system of the network may hang."""
        return await asyncio.to_thread(self.measure)

    def measure(self) -> list[FolderSpace]:
        """The same, blocking."""
        return [self._one(name, folder) for name, folder in self._folders.items()]

    def _one(self, name: str, folder: Path) -> FolderSpace:
        try:
            space = DiskSpace.of(folder)
        except OSError:
            return FolderSpace(name, None, "its file system does not answer")
        return FolderSpace(name, space, space.shortage(self._limit, was_low=name in self._low))

    async def note_changes(self) -> int:
        """Log which folders became short of space, and which are fine again; how many."""
        changes = 0
        for found in await self.look():
            if bool(found.shortage) == (found.name in self._low):
                continue
            changes += 1
            place = str(self._folders[found.name])
            if found.shortage:
                self._low.add(found.name)
                log.warning("server.disk_low", what=found.name, folder=place, reason=found.shortage)
            else:
                self._low.discard(found.name)
                log.info("server.disk_ok", what=found.name, folder=place)
        return changes

    def free_bytes(self) -> dict[tuple[str, ...], float]:
        """Free bytes by folder, for metrics."""
        return {(found.name,): float(found.space.free_mib * MIB) for found in self.measure() if found.space}

    def size_bytes(self) -> dict[tuple[str, ...], float]:
        """Size in bytes by folder, for metrics."""
        return {(found.name,): float(found.space.size_mib * MIB) for found in self.measure() if found.space}


def sqlite_file(url: str) -> Path | None:
    """File of a SQLite database; None for another database."""
    kind, found, rest = url.partition("///")
    return Path(rest.partition("?")[0]) if found and kind.startswith("sqlite") else None
