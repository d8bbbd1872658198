"""What all tests share: the fixtures of ``tests.support``, and the rule that CI skips nothing real."""

import os
from collections.abc import Generator, Iterator
from typing import Any

import hypothesis
import pytest
import structlog

from tests.support.fixtures import (
    any_lab_url,
    anyio_backend,
    faulty,
    faulty_anywhere,
    furnished,
    snapshots,
    sqlite_lab_url,
)

__all__ = ["any_lab_url", "anyio_backend", "faulty", "faulty_anywhere", "furnished", "snapshots", "sqlite_lab_url"]
REAL = ("libvirt", "guest", "database", "store", "containers")
"""Marks of tests that need a real component; in CI one that is missing is a failure."""
GUEST_TIMEOUT_S = 1500

# The same examples in every run, and no limit of time: a busy machine is no fault.
hypothesis.settings.register_profile(
    "parcela",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("parcela")


@pytest.fixture(scope="session", autouse=True)
def loggers_are_not_kept() -> Iterator[None]:
    """A logger that is kept on first use has the configuration of whichever test came first, also for later ones."""
    configure = structlog.configure

    def without_keeping(**settings: Any) -> None:
        configure(**(settings | {"cache_logger_on_first_use": False}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_keeping)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Guests are emulated: on a machine that is ten times slower, several boots take longer than any other test."""
    for item in items:
        if item.get_closest_marker("guest") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(GUEST_TIMEOUT_S))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "database: needs a database server (those of the test lab)")
    config.addinivalue_line("markers", "store: needs Redis, MongoDB or nginx (those of the test lab)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    real = [mark for mark in REAL if item.get_closest_marker(mark)]
    if os.environ.get("CI") and real and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"CI must not skip a test of something real ({', '.join(real)}): {reason}"
    return report
