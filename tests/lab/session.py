"""libvirt's rootless mode, `qemu:///session`."""

import contextlib
import os
import shutil
import signal
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.lab.service import Service, find_program


class LibvirtSession(Service):
    """Private folders for `qemu:///session`; the first client starts the daemon, as on a real machine."""

    name: ClassVar[str] = "session"

    def start(self) -> Mapping[str, str]:
        """Write the configuration; the daemon starts by itself."""
        find_program("libvirtd")
        find_program("qemu-system-x86_64")
        variables = {}
        for name in ("CONFIG_HOME", "CACHE_HOME", "DATA_HOME", "STATE_HOME", "RUNTIME_DIR"):
            path = self.folder / name.split("_")[0].lower()
            path.mkdir(mode=0o700)
            variables[f"XDG_{name}"] = str(path)
        config = self.folder / "config" / "libvirt"
        config.mkdir()
        (config / "libvirtd.conf").write_text(
            f'host_uuid = "{uuid.uuid4()}"\nmax_client_requests = 64\n', encoding="utf-8"
        )
        return {**variables, "PARCELA_TEST_LIBVIRT_SESSION_URI": "qemu:///session"}

    def stop(self) -> None:
        """End the daemon and guests that were started through it; only its own pid files say which."""
        super().stop()
        for pid_file in (self.folder / "runtime").rglob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(pid_file.read_text(encoding="ascii"))
                # The number may be another process's by now; ours carry the folder in their environment.
                if str(self.folder).encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
