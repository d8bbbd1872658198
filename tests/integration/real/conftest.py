"""Fixtures of the tests on real VMs."""

from collections.abc import Iterator

import pytest

from tests.integration.real.harness import Server, installation


@pytest.fixture
def server() -> Iterator[Server]:
    with installation() as made:
        made.start()
        yield made
