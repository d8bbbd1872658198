"""Checks for real VMs: QEMU, libvirt, acceleration, bridges, NAT. They do not apply to the simulated hypervisor."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pyroute2 import IPRoute, NetlinkError

from parcela.cli.doctor.report import Check, Finding, Patient, fail, ok, warn
from parcela.core.settings import AccelerationChoice, Hypervisor
from parcela.hypervisors.errors import DriverError
from parcela.hypervisors.libvirt.edges import try_redirect
from parcela.hypervisors.libvirt.qemuuser import first_closed, parse_qemu_user

TIMEOUT_S = 15
_HUNG = (
    "If this machine is a virtual one, its own host has to support nested virtualisation. It is tried again when the "
    "kernel or QEMU has changed, or when hypervisor/acceleration.json in the data folder is removed."
)
QEMU = "qemu-system-x86_64"
MIN_QEMU, MIN_LIBVIRT = 6, 8
KVM = Path("/dev/kvm")
CAP_NET_ADMIN_BIT = 12
TRIAL_BRIDGE = "pcl-doctor0"
# In a process of its own: a libvirtd that hangs must not hang the doctor.
_PROBE = "import libvirt, sys; c = libvirt.open(sys.argv[1]); print(c.getLibVersion(), c.getVersion(), c.getHostname())"
_CAPABILITIES = "import libvirt, sys; print(libvirt.open(sys.argv[1]).getCapabilities())"


def _program(name: str) -> str | None:
    # Root's tools are not on every user's PATH.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (fixed programs, no shell)
        command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
    )


def _real(patient: Patient) -> bool:
    return patient.settings.hypervisor is Hypervisor.LIBVIRT


def _is_system(patient: Patient) -> bool:
    return not patient.settings.resolved_libvirt_uri.endswith("session")


def hypervisor(patient: Patient) -> Finding:
    """Which provider the settings choose."""
    if not _real(patient):
        text = "PARCELA_HYPERVISOR is 'simulated': nothing real runs, and the checks for real VMs are left out."
        return warn(text, "Unset it to run real VMs.")
    return ok(f"libvirt at {patient.settings.resolved_libvirt_uri}")


def qemu(patient: Patient) -> Finding | None:
    """QEMU is there and new enough."""
    if not _real(patient):
        return None
    mend = "Install it: 'apt-get install qemu-system-x86' on Debian and Ubuntu."
    if _program(QEMU) is None:
        return fail(f"There is no {QEMU}.", mend)
    first = _run(QEMU, "--version").stdout.partition("\n")[0].strip()
    found = re.search(r"version (\d+)", first)
    if found is None or int(found[1]) < MIN_QEMU:
        return warn(f"{first or QEMU} is not a known version.", f"Parcela is tested with {MIN_QEMU} and newer. {mend}")
    return ok(first)


def qemu_img(patient: Patient) -> Finding | None:
    """qemu-img is there; images are checked and disks made with it."""
    if not _real(patient):
        return None
    path = _program("qemu-img")
    if path is None:
        return fail("There is no qemu-img.", "Install it: 'apt-get install qemu-utils'.")
    return ok(path)


def libvirt_binding(patient: Patient) -> Finding | None:
    """Python can talk to libvirt."""
    if not _real(patient):
        return None
    if importlib.util.find_spec("libvirt") is None:
        mend = "Install the extra: 'pip install parcela[libvirt]' (needs libvirt-dev, gcc and pkg-config)."
        return fail("The Python package libvirt-python is not installed.", mend)
    return ok("libvirt-python is installed.")


def libvirt_reachable(patient: Patient) -> Finding | None:
    """The libvirt daemon answers at our URI."""
    if not _real(patient) or importlib.util.find_spec("libvirt") is None:
        return None
    uri = patient.settings.resolved_libvirt_uri
    if _is_system(patient):
        mend = "Start it ('systemctl start libvirtd', or scripts/libvirt-up.sh), and be root or in the group libvirt."
    else:
        mend = "Install libvirt-daemon and libvirt-clients; the session daemon starts by itself."
    try:
        answer = _run(sys.executable, "-c", _PROBE, uri)
    except subprocess.TimeoutExpired:
        return fail(f"libvirt at {uri} did not answer within {TIMEOUT_S} s.", "Restart libvirtd; see its log.")
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        return fail(f"libvirt at {uri} does not answer: {reason}", mend)
    library, hypervisor_version, _hostname = answer.stdout.split(maxsplit=2)
    text = f"libvirt {_dotted(library)} with QEMU {_dotted(hypervisor_version)} answers at {uri}."
    if int(library) < MIN_LIBVIRT * 1_000_000:
        return warn(text, f"Parcela is tested with libvirt {MIN_LIBVIRT} and newer.")
    return ok(text)


def _dotted(number: str) -> str:
    value = int(number)
    return f"{value // 1_000_000}.{value // 1000 % 1000}.{value % 1000}"


def acceleration(patient: Patient) -> Finding | None:
    """What guests run on. A device node is no proof: only a guest that booted under KVM is."""
    if not _real(patient):
        return None
    usable = os.access(KVM, os.R_OK | os.W_OK)
    match patient.settings.acceleration:
        case AccelerationChoice.TCG:
            return warn("Emulation (TCG), as PARCELA_ACCELERATION says: VMs are slow.", "Set it to auto to try KVM.")
        case AccelerationChoice.KVM:
            text = "KVM, as PARCELA_ACCELERATION says"
            return ok(f"{text}; not tried.") if usable else fail(f"{text}, but {KVM} is not usable.", _kvm_mend())
        case AccelerationChoice.AUTO:
            return _automatic(_stored_verdict(patient.settings.data_dir), usable=usable)


def _automatic(stored: tuple[str, str] | None, *, usable: bool) -> Finding:
    if stored is not None:
        kind, reason = stored
        if kind == "kvm":
            return ok(f"KVM: {reason}.")
        return warn(f"Emulation (TCG), VMs are slow: {reason}.", _HUNG if usable else _kvm_mend())
    if not usable:
        return warn(f"Emulation (TCG), VMs are slow: {KVM} is missing or closed to this user.", _kvm_mend())
    return warn(
        f"Not known yet: {KVM} is there, but that is no proof that guests boot under it.",
        "The first start of 'parcela serve' boots a guest under KVM to find out; then ask again.",
    )


def _stored_verdict(data_dir: Path) -> tuple[str, str] | None:
    """What the driver found out by booting a guest: (``kvm`` or ``tcg``, why)."""
    try:
        raw = json.loads((data_dir / "hypervisor" / "acceleration.json").read_text(encoding="utf-8"))
        return str(raw["acceleration"]), str(raw["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _kvm_mend() -> str:
    if not KVM.exists():
        return "Switch virtualisation on in the firmware (or nested virtualisation on the outer host)."
    return f"Open {KVM} to the user QEMU runs as: group kvm, mode 0660."


def may_make_bridges() -> bool:
    """Whether this process has CAP_NET_ADMIN."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_NET_ADMIN_BIT & 1)
    return False


def bridges(patient: Patient) -> Finding | None:
    """Networks of slices are Linux bridges, which need a right."""
    if not _real(patient):
        return None
    if not _is_system(patient):
        text = "qemu:///session needs no bridges: VMs are joined by UDP, networks of more than two are refused."
        return warn(text, "Run as root (qemu:///system) to have all kinds of networks.")
    mend = "Run Parcela as root or with the right CAP_NET_ADMIN."
    if not may_make_bridges():
        return fail("This process lacks CAP_NET_ADMIN and can make no bridges.", mend)
    if not patient.tries:
        return ok("This process has CAP_NET_ADMIN; '--try' makes a bridge and removes it.")
    try:
        _make_and_remove_bridge()
    except (NetlinkError, OSError) as error:
        return fail(f"A bridge could not be made: {error}", f"{mend} Is the kernel module 'bridge' there?")
    return ok("A bridge was made and removed.")


def edges(patient: Patient) -> Finding | None:
    """Edges between two VMs pass every frame where the kernel has tc's redirect."""
    if not _real(patient) or not _is_system(patient) or not may_make_bridges():
        return None  # 'bridges' says why
    try:
        obstacle = try_redirect()
    except (DriverError, OSError) as error:
        obstacle = str(error)
    if obstacle:
        text = f"Edges between two VMs are bridges here, which forward no pause frames: {obstacle}"
        return warn(text, "Use a kernel with CONFIG_NET_CLS_U32, CONFIG_NET_ACT_MIRRED and CONFIG_NET_SCH_INGRESS.")
    return ok("Two taps can be joined by tc: every frame crosses an edge, LACP and pause frames included.")


def _make_and_remove_bridge() -> None:
    with IPRoute() as ip:
        for index in ip.link_lookup(ifname=TRIAL_BRIDGE):  # left by a doctor that was killed
            ip.link("del", index=index)
        ip.link("add", ifname=TRIAL_BRIDGE, kind="bridge")
        ip.link("del", index=ip.link_lookup(ifname=TRIAL_BRIDGE)[0])


def _tool(patient: Patient, name: str, purpose: str, package: str) -> Finding | None:
    if not _real(patient) or not _is_system(patient):
        return None
    path = _program(name)
    if path is None:
        return warn(f"There is no {name}: {purpose} will not work.", f"Install it: 'apt-get install {package}'.")
    return ok(path)


def nft(patient: Patient) -> Finding | None:
    """The firewall of VMs with public access."""
    return _tool(patient, "nft", "VMs with public access", "nftables")


def dnsmasq(patient: Patient) -> Finding | None:
    """Addresses for VMs with public access."""
    return _tool(patient, "dnsmasq", "addresses for VMs with public access", "dnsmasq-base")


def qemu_may_pass(patient: Patient) -> Finding | None:
    """QEMU of qemu:///system runs as a user of its own, which must get through to the disks."""
    if not _real(patient) or not _is_system(patient):
        return None
    capabilities = read_capabilities(patient.settings.resolved_libvirt_uri)
    if capabilities is None:
        return None  # 'libvirt' says why
    user = parse_qemu_user(capabilities)
    if user is None:
        return ok("libvirt runs QEMU as its own user.")
    folder = (patient.settings.data_dir / "hypervisor").absolute()
    closed = first_closed(folder, user)
    if closed is not None:
        mend = f"'chmod o+x {closed}', or set PARCELA_DATA_DIR to a folder elsewhere (not below /root); then ask again."
        return fail(f"QEMU runs as the user {user.name}, who may not enter {closed}: no VM could start.", mend)
    return ok(f"QEMU runs as the user {user.name}, who gets to the disks below {folder} as far as modes tell.")


def read_capabilities(uri: str) -> str | None:
    """Ask libvirt for its capabilities (XML); None when it does not answer."""
    try:
        answer = _run(sys.executable, "-c", _CAPABILITIES, uri)
    except subprocess.TimeoutExpired:
        return None
    return answer.stdout if answer.returncode == 0 else None


VIRTUALISATION = (
    Check("hypervisor", hypervisor),
    Check("qemu", qemu),
    Check("qemu-img", qemu_img),
    Check("libvirt binding", libvirt_binding),
    Check("libvirt", libvirt_reachable),
    Check("acceleration", acceleration),
    Check("bridges", bridges),
    Check("edges", edges),
    Check("nft", nft),
    Check("dnsmasq", dnsmasq),
    Check("qemu user", qemu_may_pass),
)
