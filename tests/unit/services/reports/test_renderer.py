"""Rendering happens in a process of its own, which has an end, and never in ours."""

import asyncio
from pathlib import Path

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.reports.renderer import AT_ONCE, WAITING, ReportRenderer
from parcela.services.reports.report import Format
from tests.unit.services.reports.makers import sample

pytestmark = pytest.mark.anyio
MAGIC = {Format.CSV: b"\xef\xbb\xbf", Format.XLSX: b"PK", Format.PDF: b"%PDF-"}


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.mark.parametrize("form", list(MAGIC))
async def test_a_file_comes_back(cache_dir: Path, form: Format) -> None:
    assert (await ReportRenderer(cache_dir, timeout_s=120).render(sample(), form)).startswith(MAGIC[form])


async def test_what_takes_too_long_is_ended(cache_dir: Path) -> None:
    renderer = ReportRenderer(cache_dir, timeout_s=0.001)
    with pytest.raises(ParcelaError) as caught:
        await renderer.render(sample(), Format.PDF)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.UNAVAILABLE, "report_too_slow")


async def test_a_failure_is_told_and_logged(cache_dir: Path) -> None:
    with pytest.raises(ParcelaError) as caught:
        await ReportRenderer(cache_dir, timeout_s=120).render(sample(), Format.JSON)  # nobody writes that there
    assert caught.value.code == "report_failed"
    assert "KeyError" in caught.value.internal


async def test_too_many_at_once_are_sent_away(cache_dir: Path) -> None:
    renderer = ReportRenderer(cache_dir, timeout_s=120)
    made = [asyncio.create_task(renderer.render(sample(), Format.CSV)) for _ in range(AT_ONCE + WAITING + 1)]
    outcomes = await asyncio.gather(*made, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, ParcelaError)]
    assert [error.code for error in refused] == ["report_busy"]
    assert (await renderer.render(sample(), Format.CSV)).startswith(MAGIC[Format.CSV])
