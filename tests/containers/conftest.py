"""The images of ``deploy/``, built once for all tests of containers."""

from collections.abc import Iterator

import pytest

from tests.containers.engine import KEPT, Engine, why_no_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A podman with the images that the compose files need."""
    if reason := why_no_engine():
        pytest.skip(reason)
    engine = Engine(KEPT)
    engine.reset()
    engine.make_stand_ins()
    engine.build_app()
    yield engine
    engine.reset()
