import pytest

from parcela.core.errors import ParcelaError
from parcela.models import Flavour, Host, Image, Template
from parcela.services.catalogue.rules import check_fields
from parcela.services.compute.hosts import capacity_limit


@pytest.mark.parametrize(
    ("capacity", "ratio", "limit"),
    [(100, 0.29, 29), (4, 2.3, 9), (3, 1.1, 3), (1, 0.1, 0), (16_777_216, 100, 1_677_721_600)],
)
def test_limits_are_rounded_down_in_decimal(capacity: int, ratio: float, limit: int) -> None:
    assert capacity_limit(capacity, ratio) == limit


def test_every_broken_limit_is_reported() -> None:
    fields = {"name": "../x", "vcpus": 0, "memory_mib": "much", "disk_gib": 1}
    with pytest.raises(ParcelaError) as caught:
        check_fields(Flavour, "flavour_invalid", fields)
    assert [(item.where, item.code) for item in caught.value.problems] == [
        ("name", "bad_name"),
        ("vcpus", "bad_vcpus"),
        ("memory_mib", "bad_memory_mib"),
    ]


@pytest.mark.parametrize(
    ("model", "field", "good", "bad"),
    [
        (Host, "cpu_overcommit", 8.0, float("nan")),
        (Host, "vcpus", 65_536, 65_537),
        (Image, "os_type", "linux", "Linux!"),
        (Image, "description", "ñ", "\ud800"),
        (Image, "description", "x" * 1000, "x" * 1001),
        (Image, "visibility", "public", "all"),
        (Image, "name", "a.b_c-d e", "a "),
        (Image, "name", "a", "a\n"),
        (Template, "name", "Año / 1", "a\tb"),
    ],
)
def test_limits(model: type[object], field: str, good: object, bad: object) -> None:
    check_fields(model, "invalid", {field: good})
    with pytest.raises(ParcelaError, match=field if field != "name" else "name has"):
        check_fields(model, "invalid", {field: bad})
