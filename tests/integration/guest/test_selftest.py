"""The bundled guest does what docs/reference/guest.md says: its self-test, under plain QEMU."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.guest
@pytest.mark.parametrize("part", ["pair", "bare", "tools"])
def test_the_guest_passes_its_self_test(part: str) -> None:
    build = os.environ.get("PARCELA_TEST_GUEST_DIR")
    if build is None:
        pytest.skip(os.environ.get("PARCELA_TEST_GUEST_SKIP", "no test lab"))
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed")
    command = [sys.executable, str(ROOT / "guest" / "selftest.py"), build, "--only", part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "ok  " in done.stdout
