"""A place for a request that stays open: event streams, WebSockets, consoles. All of them come through here."""

from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from parcela.api.dependencies.caller import CurrentCaller, client_address
from parcela.services.access import Caller
from parcela.services.container import Services
from parcela.services.traffic.streams import PLACE


def take_place(connection: HTTPConnection, services: Services, user_id: int) -> None:
    """Count one more stream of a user and an address, until the request has ended.

    Raises:
        ParcelaError: see ``StreamPlaces.take``.
    """
    connection.scope[PLACE] = services.traffic.streams.take(user_id, client_address(connection))


async def get_stream_caller(request: Request, caller: CurrentCaller) -> Caller:
    """The caller of an event stream, for whom there is a place."""
    take_place(request, request.app.state.services, caller.user_id)
    return caller


StreamCaller = Annotated[Caller, Depends(get_stream_caller)]
