"""The one error family of Parcela.

    ParcelaError(kind, code, message, internal, problems, retry_after_s)

There are no subclasses per fact: the *kind* says how the caller should react, the stable *code* says which fact it was.
HTTP numbers exist only in ``api/errors.py``; exit codes only in ``cli``. Drivers have their own family in
``hypervisors/errors.py`` because the engine retries by branch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class ErrorKind(StrEnum):
    """How a caller should react to an error."""

    INVALID = "invalid"  # the request has the wrong shape or values: change it
    UNAUTHENTICATED = "unauthenticated"  # say who you are
    FORBIDDEN = "forbidden"  # you may see it, you may not do this
    NOT_FOUND = "not_found"  # there is no such thing for you
    GONE = "gone"  # it was there and is not kept any more
    CONFLICT = "conflict"  # the state of things does not allow it now
    PRECONDITION_FAILED = "precondition_failed"  # If-Match named an older version
    TOO_LARGE = "too_large"  # more bytes or items than allowed
    UNSUPPORTED = "unsupported"  # this provider or host cannot do it
    RATE_LIMITED = "rate_limited"  # wait retry_after_s seconds
    NO_CAPACITY = "no_capacity"  # no host has room, or a quota is used up
    UNAVAILABLE = "unavailable"  # a store or hypervisor does not answer: try again later
    INTERNAL = "internal"  # our fault


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and what is allowed.

    Attributes:
        where: path of the value, e.g. ``vms[2].disk_gib`` or ``query.limit``.
        what: public sentence that says what is wrong and what is allowed.
        code: stable machine-readable word, e.g. ``unknown_flavour``.
    """

    where: str
    what: str
    code: str = "invalid"


class ParcelaError(Exception):
    """The base error; ``message`` is public, ``internal`` is only logged."""

    def __init__(
        self,
        kind: ErrorKind,
        code: str,
        message: str,
        *,
        internal: str = "",
        problems: Sequence[Problem] = (),
        retry_after_s: int | None = None,
    ) -> None:
        """Say what happened.

        Args:
            kind: how the caller should react.
            code: stable snake_case word for programs, e.g. ``slice_not_found``.
            message: public sentence for people.
            internal: detail for the log only; never returned.
            problems: all single problems found, each with its place.
            retry_after_s: seconds to wait before a repeat makes sense (>= 1), or None.
        """
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.internal = internal
        self.problems = tuple(problems)
        self.retry_after_s = retry_after_s


def invalid(code: str, message: str, *problems: Problem) -> ParcelaError:
    """The request cannot be carried out as it was written."""
    return ParcelaError(ErrorKind.INVALID, code, message, problems=problems)


def not_found(what: str, ident: object) -> ParcelaError:
    """There is no such thing *for this caller*; strangers get the same answer as for a missing id."""
    return ParcelaError(ErrorKind.NOT_FOUND, f"{what.replace(' ', '_')}_not_found", f"There is no {what} {ident}.")


def conflict(code: str, message: str, *problems: Problem) -> ParcelaError:
    """The present state does not allow it."""
    return ParcelaError(ErrorKind.CONFLICT, code, message, problems=problems)


def forbidden(code: str, message: str) -> ParcelaError:
    """The caller is known and has no right to do this."""
    return ParcelaError(ErrorKind.FORBIDDEN, code, message)


def unauthenticated(code: str, message: str) -> ParcelaError:
    """The caller has not shown who they are."""
    return ParcelaError(ErrorKind.UNAUTHENTICATED, code, message)
