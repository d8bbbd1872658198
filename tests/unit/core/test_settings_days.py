"""The setting of the zone whose days count."""

from datetime import UTC, datetime
from typing import Any

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("America/Limma", "did you mean America/Lima?"),
        ("america/LIMA ", "did you mean America/Lima?"),
        ("America", ""),  # a folder of zones
        ("../../etc/passwd", ""),
        ("UTC+5", ""),
    ],
)
def test_a_zone_that_nobody_knows_stops_the_start(name: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELA_TIME_ZONE", name)
    with pytest.raises(ParcelaError) as caught:
        load_settings()
    (found,) = caught.value.problems
    assert found.where == "PARCELA_TIME_ZONE"
    assert name.strip() in found.what
    assert hint in found.what


@pytest.mark.parametrize(
    ("zone", "day"), [("America/Lima", 27), ("Pacific/Kiritimati", 28), ("UTC", 28), ("Europe/Madrid", 28)]
)
def test_the_day_is_that_of_the_zone(zone: str, day: int) -> None:
    values: dict[str, Any] = {"PARCELA_TIME_ZONE": zone}
    settings = Settings(_env_file=None, **values)
    assert datetime(2026, 11, 28, 4, 30, tzinfo=UTC).astimezone(settings.day_zone).day == day


def test_without_it_the_zone_is_that_of_the_machine() -> None:
    assert Settings(_env_file=None, PARCELA_TIME_ZONE="").day_zone is None
