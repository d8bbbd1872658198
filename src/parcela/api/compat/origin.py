"""Whether a request was made by a page of ours, or by no page at all.

Clients of the older families send a session's cookie and no token against forged writes, so the request has to say
where it comes from. Every browser in use does with each write and each WebSocket: by ``Sec-Fetch-Site`` (all since
2023, but over plain http only for addresses of the own machine) or ``Origin`` (all for longer). A program that is no
browser says neither, and brings no cookies but those it was given. Besides, the cookies are ``SameSite``.

Ours are the address of the request itself, that of ``PARCELA_PUBLIC_URL``, and the origins of
``PARCELA_CORS_ORIGINS``: a proxy that changes ``Host`` on the way (as Vite's does) hides the first of them.
"""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from parcela.api.middleware.forwarded import FORWARDED_HOST
from parcela.core.errors import forbidden
from parcela.core.settings import Settings

OWN_SITES = frozenset({"same-origin", "none"})
"""``none``: typed by a person or from a bookmark."""


def is_own_page(connection: HTTPConnection) -> bool:
    """Whether the headers of a request or handshake name a page of ours, or no page."""
    settings: Settings = connection.app.state.services.settings
    headers = connection.headers
    origin = headers.get("origin")
    if origin is not None and origin.lower() in _named_origins(settings):
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in OWN_SITES
    if origin is None:
        return True
    # The scheme is not compared: behind a proxy that speaks TLS ours is http.
    netloc = urlsplit(origin).netloc
    own = {headers.get("host"), connection.scope.get(FORWARDED_HOST), urlsplit(settings.public_url).netloc}
    return bool(netloc) and netloc in own


def _named_origins(settings: Settings) -> set[str]:
    """Origins that the administrator has named, in lower case; ``*`` names none."""
    public = urlsplit(settings.public_url)
    return {f"{public.scheme}://{public.netloc}".lower(), *(origin.lower() for origin in settings.cors_origins)} - {"*"}


async def refuse_foreign_origin(connection: HTTPConnection) -> None:
    """Refuse what a page of somebody else made a browser send.

    Raises:
        ParcelaError: kind ``forbidden``, code ``foreign_origin``.
    """
    if not is_own_page(connection):
        text = "The request was made by a page of another site; only pages of this server and programs may do this."
        raise forbidden("foreign_origin", text)
