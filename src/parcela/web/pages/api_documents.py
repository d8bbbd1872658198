"""``/docs`` and ``/redoc``: the document of the API, drawn by scripts of our own server, under a policy of its own."""

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from parcela.web.rendering import POLICY, policy_text
from parcela.web.routes import web_router
from parcela.web.site import site_of

router = web_router()
DOCUMENT, REDIRECT = "/openapi.json", "/docs/oauth2-redirect"
HEADERS = {"Content-Security-Policy": policy_text(POLICY)}
REDOC_STYLES = (
    "'self'",
    # It makes empty style elements and fills them by script, which a policy allows; this is the hash of nothing.
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    # The one style element that comes with a text; another version of ReDoc may need another hash.
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='",
)
REDOC_HEADERS = {"Content-Security-Policy": policy_text({**POLICY, "style-src": " ".join(REDOC_STYLES)})}


def _page(request: Request, script: str, headers: dict[str, str], style: str = "") -> HTMLResponse:
    facts: dict[str, Any] = {"script": script, "style": style, "document": DOCUMENT, "redirect": REDIRECT}
    return site_of(request).renderer.answer(request, None, "api_document.html", headers=headers, **facts)


@router.get("/docs")
async def swagger(request: Request) -> HTMLResponse:
    """Try the API with Swagger UI."""
    return _page(request, "docs.js", HEADERS, "docs.css")


@router.get(REDIRECT)
async def redirect(request: Request) -> HTMLResponse:
    """Where an authorisation server would send the window that Swagger UI has opened."""
    return _page(request, "docs-redirect.js", HEADERS)


@router.get("/redoc")
async def redoc(request: Request) -> HTMLResponse:
    """Read the API with ReDoc."""
    return _page(request, "redoc.js", REDOC_HEADERS)
