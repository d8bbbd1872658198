"""Settings of days: where a day begins and ends."""

import difflib
from datetime import tzinfo
from zoneinfo import ZoneInfo, available_timezones

from pydantic import field_validator
from pydantic_settings import BaseSettings

from parcela.core.settings_fields import bad_setting
from parcela.core.settings_fields import setting as _env


class DaySettings(BaseSettings):
    """A part of ``Settings``."""

    time_zone: str = _env(
        "PARCELA_TIME_ZONE",
        "",
        "Name of the IANA time zone, such as America/Lima, whose days count: for today, what is due and overdue, dates "
        "of maintenance and reports. Empty: the zone of the machine.",
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value and _zone(value) is None:
            raise bad_setting(f"must be a name of the IANA time zone database, but '{value}' is none{_near(value)}")
        return value

    @property
    def day_zone(self) -> tzinfo | None:
        """The zone whose days count; None: the machine's, which ``astimezone`` takes for None."""
        return _zone(self.time_zone) if self.time_zone else None


def _zone(name: str) -> ZoneInfo | None:
    """The zone, or None. Names are paths of files: folders and what is no such path fail in ways of their own."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _near(name: str) -> str:
    known = {zone.lower(): zone for zone in available_timezones()}
    if not known:
        return ": this machine has no time zones (Debian's package tzdata)"
    near = difflib.get_close_matches(name.lower(), known, 1)
    return f"; did you mean {known[near[0]]}?" if near else ", such as America/Lima"
