"""The limit of open files is raised to what may be had."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource
from parcela.core.open_files import open_files, raise_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(open_files(), raise_open_files(), open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
"""


@pytest.mark.parametrize(("soft", "hard", "said"), [(256, 1024, "256 1024 1024 1024"), (300, 300, "300 300 300 300")])
def test_the_soft_limit_becomes_the_hard_one(soft: int, hard: int, said: str) -> None:
    command = [sys.executable, "-c", SCRIPT.format(soft=soft, hard=hard)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == said
