"""Settings of the life of slices."""

from pydantic_settings import BaseSettings

from parcela.core.settings_fields import setting as _env


class SliceSettings(BaseSettings):
    """A part of ``Settings``."""

    slice_ttl_s: int = _env(
        "PARCELA_SLICE_TTL_S",
        28800,
        "Life of a slice of a non-administrator in seconds, unless extended.",
        ge=60,
        le=31536000,
    )
    slice_notice_s: int = _env(
        "PARCELA_SLICE_NOTICE_S",
        900,
        "Seconds before the end of a slice at which the event slice.expiring tells it; 0 for never.",
        ge=0,
        le=86400,
    )
