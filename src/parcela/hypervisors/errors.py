"""What a driver raises.

    DriverError
    ├── RetryableDriverError   the engine repeats the step after ``retry_after_s``
    │   ├── HostUnreachableError   the hypervisor does not answer: operations wait, without using up attempts
    │   └── NoSpaceError           the file system of the VM folder is full
    └── FatalDriverError       a repeat would fail in the same way: the plan is undone
        ├── UnsupportedError       this provider cannot do it at all; the message says why and what can
        └── VmPausedError          the VM is there, and paused by a fault (its host's disk is full)

The engine looks only at the branch, never at texts.
"""

from parcela.core.power import SENTENCES, PowerReason


class DriverError(Exception):
    """Base; ``message`` is public and names what was being done to what, ``internal`` is only logged."""

    def __init__(self, message: str, *, internal: str = "") -> None:
        """Say what failed.

        Args:
            message: public sentence, e.g. ``"could not start VM web: no space left on the host's disk"``.
            internal: raw text of the hypervisor, for the log.
        """
        super().__init__(message)
        self.message = message
        self.internal = internal


class RetryableDriverError(DriverError):
    """The same call may succeed later."""

    def __init__(self, message: str, *, internal: str = "", retry_after_s: float = 1.0) -> None:
        """Say what failed and when to try again (seconds, > 0)."""
        super().__init__(message, internal=internal)
        self.retry_after_s = retry_after_s


class HostUnreachableError(RetryableDriverError):
    """The hypervisor (libvirtd, the agent) does not answer at all."""


class NoSpaceError(RetryableDriverError):
    """Nothing more fits on the file system of a host's VM folder; space is freed all the time, so it is tried again."""

    def __init__(self, doing: str, host_name: str, *, internal: str = "") -> None:
        """Say what could not be done where.

        Args:
            doing: e.g. ``"copy image 4f1c"``.
            host_name: name of the host.
            internal: for the log, with the path.
        """
        text = (
            f"could not {doing}: host {host_name} has no space left in its VM folder; an administrator has to free some"
        )
        super().__init__(text, internal=internal, retry_after_s=5)


class FatalDriverError(DriverError):
    """A repeat of the same call would fail in the same way."""


class VmPausedError(FatalDriverError):
    """The hypervisor paused the VM because of a fault, so it does not run as it was asked to.

    What is to be done (free space on the host) is not ours to do, and may take hours: no repeat.
    """

    def __init__(self, doing: str, reason: PowerReason, *, internal: str = "") -> None:
        """Say what was being done and why it is paused.

        Args:
            doing: e.g. ``"resume VM 6f1c..."``.
            reason: one of ``FAULTS``.
            internal: for the log.
        """
        super().__init__(f"could not {doing}: {SENTENCES[reason]}", internal=internal)
        self.reason = reason


class UnsupportedError(FatalDriverError):
    """This provider or host cannot do it; the message says what can."""
