"""libvirt error codes -> the driver errors of the seam: the one place that knows them."""

import re

import libvirt

from parcela.hypervisors.errors import DriverError, FatalDriverError, HostUnreachableError, RetryableDriverError

UNREACHABLE_RETRY_AFTER_S = 2.0

# Repeating these cannot help: the request itself, or what the host is, must change.
_FATAL = frozenset(
    {
        libvirt.VIR_ERR_ACCESS_DENIED,
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        libvirt.VIR_ERR_CPU_INCOMPATIBLE,
        libvirt.VIR_ERR_DOM_EXIST,
        libvirt.VIR_ERR_INVALID_ARG,
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_NO_NETWORK,
        libvirt.VIR_ERR_NO_SUPPORT,
        libvirt.VIR_ERR_OPERATION_DENIED,
        libvirt.VIR_ERR_OPERATION_INVALID,
        libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
        libvirt.VIR_ERR_OS_TYPE,
        libvirt.VIR_ERR_PARSE_FAILED,
        libvirt.VIR_ERR_UNKNOWN_HOST,
        libvirt.VIR_ERR_XML_DETAIL,
        libvirt.VIR_ERR_XML_ERROR,
        libvirt.VIR_ERR_XML_INVALID_SCHEMA,
    }
)
_UNREACHABLE = frozenset(
    {
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_RPC,
    }
)
_REASONS = {
    libvirt.VIR_ERR_ACCESS_DENIED: "access to the hypervisor was denied",
    libvirt.VIR_ERR_AUTH_FAILED: "the hypervisor refused the login",
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: "this hypervisor cannot have such a configuration",
    libvirt.VIR_ERR_NO_DOMAIN: "it does not exist",
    libvirt.VIR_ERR_NO_MEMORY: "the host is out of memory",
    libvirt.VIR_ERR_OPERATION_INVALID: "its state does not allow it",
    libvirt.VIR_ERR_OPERATION_TIMEOUT: "the guest is busy with something else",
    libvirt.VIR_ERR_RESOURCE_BUSY: "it is in use",
}

# What QEMU and libvirt say in words only, under general codes. The first that is found counts. Our words are shown and
# theirs are not: they hold paths and command lines of the host, and the people who read them are users.
_SAID = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"no space left on device|disk quota exceeded", "the host's disk is full"),
        (
            r"cannot allocate memory|cannot set up guest memory|out of memory|killed by .*oom",
            "the host is out of memory",
        ),
        (r"kvm.*(permission denied|no such file|no such device)|failed to initialize kvm", "KVM cannot be used there"),
        (
            r"permission denied|operation not permitted|access denied",
            "QEMU's user may not open its files there; an administrator finds the reason with 'parcela doctor'",
        ),
        (r"failed to get .*lock|is another process using", "another process uses its disk"),
        (r"could not open|no such file or directory|cannot access storage file", "one of its files is missing"),
        (r"address already in use", "an address or a port that it needs is taken"),
        (r"cannot get interface|network .*(not active|not found)|no such device|bridge", "its network is not there"),
        (r"too many open files|resource temporarily unavailable", "the host has reached a limit of its system"),
        (r"timed out|timeout", "the hypervisor took too long"),
        (r"exited while connecting to monitor|unexpectedly closed the monitor", "QEMU ended as soon as it was started"),
    )
)
# What is said of a QEMU that is started, and stays until somebody mends the host: a boot that is repeated fails again,
# each time after seconds. Not for other calls: of a QEMU that is just ending, files and rights vanish, too.
_REFUSALS = re.compile(
    r"cannot access storage file|could not open .*(no such file|permission denied)"
    r"|kvm.*(permission denied|no such file|no such device)|failed to initialize kvm",
    re.IGNORECASE,
)
_UNKNOWN = "the hypervisor reported a failure; the server's log has its words"


def reason_of(code: int, text: str) -> str:
    """A sentence for users: from the code when it says enough, else from the words of libvirt or QEMU."""
    if code in _REASONS:
        return _REASONS[code]
    return next((reason for pattern, reason in _SAID if pattern.search(text)), _UNKNOWN)


def is_code(error: libvirt.libvirtError, *codes: int) -> bool:
    """Say whether the error is one of these ``VIR_ERR_*``."""
    return error.get_error_code() in codes


def is_connection_failure(error: libvirt.libvirtError) -> bool:
    """Say whether the error means that libvirtd does not answer, not that it refuses."""
    if error.get_error_code() in _UNREACHABLE:
        return True
    # "client socket is closed", "Cannot recv data", "Failed to connect socket": general codes from the RPC layer.
    general = (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_SYSTEM_ERROR)
    return is_code(error, *general) and error.get_error_domain() in {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}


def unreachable(host_name: str, internal: str = "") -> HostUnreachableError:
    """Make the error for a libvirtd that does not answer."""
    return HostUnreachableError(
        f"the hypervisor of host {host_name} does not answer",
        internal=internal,
        retry_after_s=UNREACHABLE_RETRY_AFTER_S,
    )


def translate(error: libvirt.libvirtError, doing: str, host_name: str) -> DriverError:
    """Make the driver error for a libvirt error.

    Args:
        error: what libvirt raised.
        doing: what was being done to what, as in ``"start VM 6f1c..."``.
        host_name: for the message when the host does not answer.
    """
    internal = f"libvirt error {error.get_error_code()} in domain {error.get_error_domain()}: {error}"
    if is_connection_failure(error):
        return unreachable(host_name, internal)
    message = f"could not {doing}: {reason_of(error.get_error_code(), str(error))}"
    if error.get_error_code() in _FATAL:
        return FatalDriverError(message, internal=internal)
    return RetryableDriverError(message, internal=internal)


def refused(error: libvirt.libvirtError, doing: str) -> FatalDriverError | None:
    """The error for a QEMU that refused to start and would do so again; None for every other failure."""
    if is_connection_failure(error) or not _REFUSALS.search(str(error)):
        return None
    internal = f"libvirt error {error.get_error_code()} in domain {error.get_error_domain()}: {error}"
    return FatalDriverError(f"could not {doing}: {reason_of(error.get_error_code(), str(error))}", internal=internal)
