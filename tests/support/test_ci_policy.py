"""In CI a test of something real that is skipped has failed."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_runtest_makereport


def judged(monkeypatch: pytest.MonkeyPatch, *, ci: bool, marks: set[str], **facts: Any) -> SimpleNamespace:
    """A report of a skipped test, after the rule."""
    monkeypatch.delenv("CI", raising=False)
    if ci:
        monkeypatch.setenv("CI", "true")
    item: Any = SimpleNamespace(get_closest_marker=lambda name: name if name in marks else None)
    report: Any = SimpleNamespace(skipped=True, outcome="skipped", longrepr=("file", 1, "Skipped: no server"), **facts)
    hook = pytest_runtest_makereport(item)
    next(hook)
    with pytest.raises(StopIteration) as ended:
        hook.send(report)
    assert ended.value.value is report
    return report  # type: ignore[no-any-return]


@pytest.mark.parametrize("mark", ["libvirt", "guest", "database", "store"])
def test_in_ci_it_fails_with_the_reason(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    report = judged(monkeypatch, ci=True, marks={mark, "slow"})
    assert report.outcome == "failed"
    assert report.longrepr == f"CI must not skip a test of something real ({mark}): Skipped: no server"


def test_elsewhere_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, ci=False, marks={"database"}).outcome == "skipped"


def test_other_skips_and_expected_failures_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, ci=True, marks={"slow"}).outcome == "skipped"
    assert judged(monkeypatch, ci=True, marks={"database"}, wasxfail="known").outcome == "skipped"
