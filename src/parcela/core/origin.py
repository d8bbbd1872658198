"""Where the work of the present task comes from: which request, from which address, and on whose behalf.

The edges open an origin around each request, authentication fills in the caller, and the unit of work and the log lines
read it. It is a context variable and no argument, because every write must be audited, and an argument is forgotten in
the one service that matters. Tasks that outlive the request which started them call ``detach``.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Origin:
    """One request.

    Attributes:
        request_id: as in ``X-Request-Id`` and the log.
        address: of the client; "" when unknown.
        user_agent: what the client calls itself; only filled in for requests that may write.
        describe: gives the action of the request (``POST /api/v1/slices/{slice_id}/stop``) and the ids in its path,
            once it is routed.
        task: the task that handles the request itself.
        user_id: 0 until somebody is authenticated.
    """

    request_id: str
    address: str = ""
    user_agent: str = ""
    describe: Callable[[], tuple[str, Mapping[str, Any]]] = lambda: ("", {})
    task: "asyncio.Task[Any] | None" = None
    user_id: int = 0
    username: str = ""
    role: str = ""
    token_id: int = 0
    refusal_code: str = field(default="", compare=False)

    @property
    def is_here(self) -> bool:
        """Whether this very task handles the request, and no task that was started by it."""
        return self.task is not None and self.task is asyncio.current_task()


_origin = ContextVar[Origin | None]("parcela_origin", default=None)


def current_origin() -> Origin | None:
    """The origin of the present task; None for Parcela itself."""
    return _origin.get()


def enter(origin: Origin) -> Token[Origin | None]:
    """Begin to work on behalf of a request; ``leave`` ends it. A context manager would cost more than all the rest."""
    return _origin.set(origin)


def leave(token: Token[Origin | None]) -> None:
    """End what ``enter`` began."""
    _origin.reset(token)


def identify(*, user_id: int, username: str, role: str, token_id: int) -> None:
    """Note who is behind the present request; nothing happens outside of one."""
    origin = _origin.get()
    if origin is not None:
        origin.user_id, origin.username, origin.role, origin.token_id = user_id, username, role, token_id


def detach() -> None:
    """Go on as Parcela itself: for tasks that a request starts and does not wait for."""
    _origin.set(None)
