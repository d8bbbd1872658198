"""Whether a request was made by a page of ours, or by no page at all.

Clients of ``cloud`` send the session's cookie and no token against forged writes, so the request has to say where it
comes from. Every browser in use does with each write: by ``Sec-Fetch-Site`` (all since 2023) or ``Origin`` (all for
longer). A program that is no browser says neither, and brings no cookies but those it was given. Besides, the cookie
itself is ``SameSite=Lax``.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request

from parcela.core.errors import forbidden

OWN_SITES = frozenset({"same-origin", "none"})
"""``none``: typed by a person or from a bookmark."""


def _is_own(headers: Headers, public_url: str) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in OWN_SITES
    origin = headers.get("origin")
    if origin is None:
        return True
    # The scheme is not compared: behind a proxy that speaks TLS ours is http.
    netloc = urlsplit(origin).netloc
    return bool(netloc) and netloc in {headers.get("host"), urlsplit(public_url).netloc}


async def refuse_foreign_origin(request: Request) -> None:
    """Refuse what a page of somebody else made a browser send.

    Raises:
        ParcelaError: kind ``forbidden``, code ``foreign_origin``.
    """
    if not _is_own(request.headers, request.app.state.services.settings.public_url):
        text = "The request was made by a page of another site; only pages of this server and programs may do this."
        raise forbidden("foreign_origin", text)
