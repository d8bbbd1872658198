"""A private libvirt at `qemu:///system`."""

import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.lab.service import CannotStartError, Service, find_program

# The number of requests of one connection that are worked on at a time: the default of 5 is a queue
# in front of every parallel deployment.
LIBVIRTD_CONF = """\
host_uuid = "{host_uuid}"
auth_unix_ro = "none"
auth_unix_rw = "none"
max_clients = 500
max_workers = 64
max_client_requests = 64
"""
# No AppArmor around guests: its profiles know the real /var/lib/libvirt, not our temporary folder.
QEMU_CONF = """\
security_driver = "none"
stdio_handler = "{stdio_handler}"
"""
# libvirt cannot carry a covered device node (see `namespaces._hide_unusable_kvm`) into a guest's own /dev.
QEMU_CONF_WITHOUT_DEV = "namespaces = []\n"
NWFILTERS = Path("/usr/share/libvirt/nwfilter")


class Libvirt(Service):
    """virtlogd and libvirtd on the lab's own /etc/libvirt, /var/lib/libvirt and /run.

    Only for an isolated lab: `namespaces.py` has replaced those folders. QEMU runs as the user
    libvirt-qemu, as on a real host.
    """

    name: ClassVar[str] = "libvirt"

    def start(self) -> Mapping[str, str]:
        """Write the configuration, then start both daemons."""
        libvirtd = find_program("libvirtd")
        virsh = find_program("virsh")
        find_program("qemu-system-x86_64")
        # Not os.path.ismount: it misses bind mounts within one file system.
        if " /etc/libvirt " not in Path("/proc/self/mountinfo").read_text(encoding="utf-8"):
            raise CannotStartError("libvirt's folders are not private here")
        virtlogd = shutil.which("virtlogd", path="/usr/sbin:/sbin")
        etc = Path("/etc/libvirt")
        (etc / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(host_uuid=uuid.uuid4()), encoding="utf-8")
        handler = "logd" if virtlogd else "file"
        qemu_conf = QEMU_CONF.format(stdio_handler=handler)
        if Path("/dev/kvm").is_file():
            qemu_conf += QEMU_CONF_WITHOUT_DEV
        (etc / "qemu.conf").write_text(qemu_conf, encoding="utf-8")
        for name in ("virtlogd.conf", "virtlockd.conf", "network.conf"):
            (etc / name).touch()
        if NWFILTERS.is_dir():
            shutil.copytree(NWFILTERS, etc / "nwfilter", dirs_exist_ok=True)
        Path("/var/lib/libvirt/images").mkdir(mode=0o711, exist_ok=True)
        if virtlogd:
            self.spawn(virtlogd)
            self.wait_until(Path("/run/libvirt/virtlogd-sock").is_socket)
        self.spawn(libvirtd)
        version = [virsh, "--quiet", "--connect", "qemu:///system", "version"]
        socket = Path("/run/libvirt/libvirt-sock")
        self.wait_until(
            lambda: socket.is_socket() and subprocess.run(version, check=False, capture_output=True).returncode == 0
        )
        return {"PARCELA_TEST_LIBVIRT_URI": "qemu:///system"}
