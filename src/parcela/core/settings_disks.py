"""Settings of how much space has to stay free on disks."""

from pydantic_settings import BaseSettings

from parcela.core.disks import LowLimit
from parcela.core.settings_fields import setting as _env


class DiskSettings(BaseSettings):
    """A part of ``Settings``."""

    disk_low_percent: float = _env(
        "PARCELA_DISK_LOW_PERCENT",
        5.0,
        "Percent of a file system below which its free space is too little: a host whose VM folder is there takes no "
        "new VM, and health shows it, as it does of the data folder. 0: never.",
        ge=0,
        le=90,
    )
    disk_low_most_gib: float = _env(
        "PARCELA_DISK_LOW_MOST_GIB",
        20.0,
        "GiB that are always enough: the percentage of a large disk asks for no more than this.",
        ge=0,
        le=100_000,
    )

    @property
    def disk_low(self) -> LowLimit:
        """Both together."""
        return LowLimit(self.disk_low_percent, self.disk_low_most_gib)
