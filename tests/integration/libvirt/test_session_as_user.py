"""The rootless driver, tested by root: the session tests run in a child process that is nobody."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.libvirt.harness import require

pytestmark = [pytest.mark.libvirt, pytest.mark.guest, pytest.mark.slow]
# The interpreter and the sources may lie in a folder that only root may enter: the child may read, and nothing more.
READ_ANYTHING = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of nobody's own, with a short path: libvirt puts UNIX sockets deep below it."""
    folder = Path(tempfile.mkdtemp(prefix="s", dir="/var/tmp"))
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *(folder / name for name in ("config", "cache", "data", "state", "runtime", "tmp"))):
        path.mkdir(exist_ok=True)
        path.chmod(0o700)
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    yield folder
    # The daemon ends by itself a while after its last client; its guests are gone with the tests.
    subprocess.run(["pkill", "-u", "nobody", "libvirtd"], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def test_session_mode_as_an_ordinary_user(home: Path) -> None:
    require("PARCELA_TEST_LIBVIRT_URI", "PARCELA_TEST_LIBVIRT_SKIP")
    environment = {
        **os.environ,
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "PARCELA_TEST_TMP": str(home / "tmp"),
        "PARCELA_TEST_LIBVIRT_SESSION_URI": "qemu:///session",
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_RUNTIME_DIR": str(home / "runtime"),
        **{f"XDG_{name.upper()}_HOME": str(home / name) for name in ("config", "cache", "data", "state")},
    }
    become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *READ_ANYTHING]
    pytest_quietly = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tests = [*pytest_quietly, "tests/integration/libvirt/test_session.py"]
    done = subprocess.run([*become, *tests], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
