"""What a driver raises.

    DriverError
    ├── RetryableDriverError   the engine repeats the step after ``retry_after_s``
    │   └── HostUnreachableError   the hypervisor does not answer: operations wait, without using up attempts
    └── FatalDriverError       a repeat would fail in the same way: the plan is undone
        └── UnsupportedError       this provider cannot do it at all; the message says why and what can

The engine looks only at the branch, never at texts.
"""


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


class FatalDriverError(DriverError):
    """A repeat of the same call would fail in the same way."""


class UnsupportedError(FatalDriverError):
    """This provider or host cannot do it; the message says what can."""
