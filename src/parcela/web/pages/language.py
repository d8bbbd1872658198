"""Choosing the language of this browser."""

from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.responses import RedirectResponse

from parcela.web.dependencies.view import see_other
from parcela.web.rendering import LANGUAGE_COOKIE
from parcela.web.routes import web_router
from parcela.web.session import LOGIN_PATH, local_path

router = web_router()
YEAR_S = 365 * 86400


@router.get("/language/{locale}")
async def choose_language(
    request: Request,
    locale: Annotated[str, Path(pattern="^(en|es)$")],
    wanted: Annotated[str, Query(alias="next")] = "/",
) -> RedirectResponse:
    """Remember it and go back. A link and not a form, so that it works on the login page too; it changes no data."""
    # The login page is fine here: nobody can be sent in a circle.
    response = see_other(wanted if wanted == LOGIN_PATH else local_path(wanted))
    secure = request.url.scheme == "https"
    response.set_cookie(LANGUAGE_COOKIE, locale, max_age=YEAR_S, secure=secure, httponly=True, samesite="lax")
    return response
