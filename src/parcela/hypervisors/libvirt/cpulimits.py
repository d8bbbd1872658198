"""Whether this host lets libvirt limit the processor time of a VM."""

from pathlib import Path

from parcela.hypervisors.libvirt.context import HostContext

CGROUPS = Path("/sys/fs/cgroup")


def cpu_controller_exists(root: Path = CGROUPS) -> bool:
    """Whether the kernel offers CPU quotas: cgroup version 2 or 1."""
    try:
        if "cpu" in (root / "cgroup.controllers").read_text(encoding="ascii").split():
            return True
    except OSError:
        pass
    return any(path.is_dir() for path in (root / "cpu", root / "cpu,cpuacct"))


def cpu_limits_work(host: HostContext) -> bool:
    """False in session mode, without the controller, and after the host has once refused at a start."""
    return not host.is_session and not host.cpu_limits_refused and cpu_controller_exists()
