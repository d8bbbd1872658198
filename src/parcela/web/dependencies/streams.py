"""A place for an event stream of a page: it stays open as long as the page does."""

from typing import Annotated

from fastapi import Depends, Request

from parcela.services.access import Caller
from parcela.services.traffic.streams import PLACE
from parcela.web.dependencies.caller import Reader
from parcela.web.dependencies.uow import AppServices
from parcela.web.site import client_address


async def get_stream_reader(request: Request, services: AppServices, caller: Reader) -> Caller:
    """The reader of an event stream, for whom there is a place.

    Raises:
        ParcelaError: see ``StreamPlaces.take``.
    """
    request.scope[PLACE] = services.traffic.streams.take(caller.user_id, client_address(request))
    return caller


StreamReader = Annotated[Caller, Depends(get_stream_reader)]
