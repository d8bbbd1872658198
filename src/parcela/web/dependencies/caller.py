"""Who is looking at a page, and the proof that a write is theirs."""

from typing import Annotated

from fastapi import Depends, Form, Header, Request

from parcela.core.cookies import SESSION_COOKIE
from parcela.core.errors import unauthenticated
from parcela.services.access import Caller
from parcela.web.dependencies.uow import get_services
from parcela.web.session import CSRF_FIELD, CSRF_HEADER, check_csrf
from parcela.web.site import client_address


async def get_reader(request: Request) -> Caller:
    """The caller behind the session cookie.

    Raises:
        ParcelaError: kind ``unauthenticated``; the browser is then sent to the login page.
    """
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        raise unauthenticated("session_missing", "Sign in first.")
    services = await get_services(request)
    caller = await services.auth.authenticate(token, address=client_address(request))
    if caller.scopes is not None:
        # A personal token is for programs; as a cookie, its owner never gave it to this browser.
        raise unauthenticated("session_missing", "Sign in with your password.")
    return caller


Reader = Annotated[Caller, Depends(get_reader)]


async def get_writer(
    caller: Reader,
    field: Annotated[str, Form(alias=CSRF_FIELD, max_length=200)] = "",
    header: Annotated[str, Header(alias=CSRF_HEADER, max_length=200)] = "",
) -> Caller:
    """The caller of a write, after the proof that one of our pages made it.

    The family of the session's tokens is the secret: it is random, never leaves the server, and stays the same when
    the tokens are renewed.

    Raises:
        ParcelaError: kind ``forbidden``, code ``csrf_failed``.
    """
    check_csrf(caller.token_family, field or header)
    return caller


Writer = Annotated[Caller, Depends(get_writer)]
