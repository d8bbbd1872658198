"""What is private inside the lab: mounts, network, and the folders of libvirt."""

import os
import pwd
import subprocess
from pathlib import Path

from tests.lab import cgroups, kernel
from tests.lab.kernel import Clone, MountFlag
from tests.lab.workdir import WorkDir

QEMU_USER = "libvirt-qemu"
# Where libvirt keeps its state. /run is replaced as a whole.
LIBVIRT_FOLDERS = ("/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt")


def enter(workdir: WorkDir, trees: list[cgroups.Tree]) -> None:
    """Move this process into the lab's namespaces. It must be process 1 of a new PID namespace."""
    kernel.unshare(Clone.MOUNT | Clone.NETWORK | Clone.IPC)
    # Nothing that is mounted from here on may be seen outside.
    kernel.mount("none", "/", flags=MountFlag.RECURSIVE | MountFlag.PRIVATE)
    kernel.mount("proc", "/proc", "proc", MountFlag.NOSUID | MountFlag.NODEV)
    _mount_sys(workdir, trees)
    _mount_run()
    _bind_libvirt(workdir)
    _hide_unusable_kvm(workdir)
    _start_network()


def _mount_sys(workdir: WorkDir, trees: list[cgroups.Tree]) -> None:
    """Mount /sys anew: /sys/class/net shows the network namespace it was mounted in."""
    stash = workdir.folder("cgroup")
    kernel.mount(str(cgroups.ROOT), str(stash), flags=MountFlag.BIND | MountFlag.RECURSIVE)
    kernel.unmount_lazily("/sys")
    kernel.mount("sysfs", "/sys", "sysfs", MountFlag.NOSUID | MountFlag.NODEV)
    cgroups.show_only(trees, stash)
    kernel.unmount_lazily(str(stash))


def _mount_run() -> None:
    """Give the lab an empty /run.

    That hides the machine's libvirt sockets, and also its D-Bus: through that one libvirt would
    register guests with systemd-machined and rules with firewalld of the real machine.
    """
    kernel.mount("tmpfs", "/run", "tmpfs", MountFlag.NOSUID | MountFlag.NODEV, "mode=755")
    for name in ("lock", "libvirt", "netns", "user"):
        Path("/run", name).mkdir()
    Path("/run/lock").chmod(0o1777)


def _bind_libvirt(workdir: WorkDir) -> None:
    for target in LIBVIRT_FOLDERS:
        if Path(target).is_dir():
            source = workdir.folder("libvirt" + target)
            kernel.mount(str(source), target, flags=MountFlag.BIND)


def _hide_unusable_kvm(workdir: WorkDir) -> None:
    """Cover /dev/kvm with an empty file when QEMU's user may not open it.

    Where no udev gave the device to the group kvm, libvirt finds KVM while it probes QEMU (with more
    capabilities than guests get) and not when it checks the outcome, so it probes again some forty
    times for every guest: 17 s instead of 0.4 s.
    """
    kvm = Path("/dev/kvm")
    try:
        user, state = pwd.getpwnam(QEMU_USER), kvm.stat()
    except (KeyError, FileNotFoundError):
        return
    groups = os.getgrouplist(QEMU_USER, user.pw_gid)
    if state.st_mode & 0o006 == 0o006 or (state.st_mode & 0o060 == 0o060 and state.st_gid in groups):
        return
    cover = workdir.path / "no-kvm"
    cover.touch(mode=0)
    kernel.mount(str(cover), str(kvm), flags=MountFlag.BIND)


def _start_network() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # Slices with a way out are routed and masqueraded by the (private) host.
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
