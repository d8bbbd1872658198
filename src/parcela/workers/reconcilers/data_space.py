"""Space of the server's own folders.

Repairs: nothing; says in the log, once for each change, that the data folder (or that of the database) is short of
space.

Must not touch: any file.
"""

from parcela.services.observability.data_folder import DataFolder


class DataSpace:
    """See the module."""

    name = "data_space"

    def __init__(self, folder: DataFolder) -> None:
        """Take who measures."""
        self._folder = folder

    async def run(self) -> int:
        """Measure once."""
        return await self._folder.note_changes()
