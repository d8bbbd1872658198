"""Exit codes, and the one error that commands raise. The numbers are promises: scripts depend on them."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from parcela.core.errors import ErrorKind, ParcelaError


class Exit(IntEnum):
    """What the exit code of ``parcela`` says."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_LOGGED_IN = 3
    REFUSED = 4
    CONFLICT = 5
    INVALID = 6
    NO_CAPACITY = 7
    OPERATION_FAILED = 8
    UNAVAILABLE = 9
    RATE_LIMITED = 10
    SETTINGS = 78
    INTERRUPTED = 130


MEANINGS: Mapping[Exit, str] = {
    Exit.OK: "Done.",
    Exit.UNEXPECTED: "Something unexpected: a bug of ours, on this side or on the server's. `doctor`: a check failed.",
    Exit.USAGE: "The command line is wrong; nothing was sent.",
    Exit.NOT_LOGGED_IN: "Not logged in, or the session has ended: `parcela login`.",
    Exit.REFUSED: "There is no such thing for you, or you may not do this.",
    Exit.CONFLICT: "The present state does not allow it, or somebody changed it meanwhile.",
    Exit.INVALID: "Wrong values, too large, or not supported by this provider.",
    Exit.NO_CAPACITY: "No host has room, or a quota is used up.",
    Exit.OPERATION_FAILED: "The operation failed or was cancelled; or `console --until` did not see its text in time.",
    Exit.UNAVAILABLE: "The server cannot be reached, or a part of it does not answer.",
    Exit.RATE_LIMITED: "Too many attempts; wait.",
    Exit.SETTINGS: "The settings do not allow a start; all problems are listed (`EX_CONFIG`).",
    Exit.INTERRUPTED: "Ctrl-C. What was asked of the server goes on there.",
}
_BY_STATUS: Mapping[int, Exit] = {
    400: Exit.INVALID,
    401: Exit.NOT_LOGGED_IN,
    403: Exit.REFUSED,
    404: Exit.REFUSED,
    410: Exit.REFUSED,
    409: Exit.CONFLICT,
    412: Exit.CONFLICT,
    413: Exit.INVALID,
    415: Exit.INVALID,
    422: Exit.INVALID,
    429: Exit.RATE_LIMITED,
    501: Exit.INVALID,
    502: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.UNAVAILABLE,
    507: Exit.NO_CAPACITY,
}
_BY_KIND: Mapping[ErrorKind, Exit] = {
    ErrorKind.INVALID: Exit.INVALID,
    ErrorKind.UNAUTHENTICATED: Exit.NOT_LOGGED_IN,
    ErrorKind.FORBIDDEN: Exit.REFUSED,
    ErrorKind.NOT_FOUND: Exit.REFUSED,
    ErrorKind.CONFLICT: Exit.CONFLICT,
    ErrorKind.GONE: Exit.REFUSED,
    ErrorKind.PRECONDITION_FAILED: Exit.CONFLICT,
    ErrorKind.TOO_LARGE: Exit.INVALID,
    ErrorKind.UNSUPPORTED: Exit.INVALID,
    ErrorKind.RATE_LIMITED: Exit.RATE_LIMITED,
    ErrorKind.NO_CAPACITY: Exit.NO_CAPACITY,
    ErrorKind.UNAVAILABLE: Exit.UNAVAILABLE,
    ErrorKind.INTERNAL: Exit.UNEXPECTED,
}
_CLOSED: Mapping[int, Exit] = {4400: Exit.INVALID, 4408: Exit.UNAVAILABLE}
"""Close codes of our WebSockets that are not 4000 + an HTTP status."""


class CliError(Exception):
    """A command cannot go on: the exit code, and a problem document like the server's.

    Attributes:
        code: exit code.
        problem: ``code``, ``detail`` and perhaps ``problems`` (each ``where``, ``what``, ``code``), as in RFC 9457.
    """

    def __init__(self, code: Exit, problem: Mapping[str, Any]) -> None:
        """Take both."""
        super().__init__(str(problem.get("detail", "")))
        self.code = code
        self.problem = dict(problem)


def fail(code: Exit, word: str, text: str, **more: Any) -> CliError:
    """An error of this side: ``word`` is its stable code, ``text`` says what to do."""
    return CliError(code, {"code": word, "detail": text, **more})


def exit_of_status(status: int) -> Exit:
    """Exit code for the HTTP status of an error."""
    return _BY_STATUS.get(status, Exit.UNEXPECTED)


def exit_of_close(code: int) -> Exit:
    """Exit code for the close code of a WebSocket."""
    return _CLOSED.get(code, exit_of_status(code - 4000))


def from_answer(status: int, body: object) -> CliError:
    """The error that an answer of the server says; ``body`` is its decoded problem document, or anything."""
    if isinstance(body, Mapping) and "detail" in body:
        return CliError(exit_of_status(status), body)
    text = f"The server answered {status} and gave no reason; is there a Parcela at this address?"
    return CliError(exit_of_status(status), {"status": status, "code": f"http_{status}", "detail": text})


def from_parcela_error(error: ParcelaError) -> CliError:
    """The error of a command that runs on the server's side (``serve``, ``migrate``)."""
    problems = [{"where": p.where, "what": p.what, "code": p.code} for p in error.problems]
    code = Exit.SETTINGS if error.code == "settings_invalid" else _BY_KIND[error.kind]
    return CliError(code, {"code": error.code, "detail": error.message, "problems": problems})
