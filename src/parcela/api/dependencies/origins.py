"""Where a sign-in comes from, and the cookie by which a browser is known at the next one."""

from fastapi import Request, Response

from parcela.api.dependencies.caller import client_address
from parcela.core.cookies import DEVICE_COOKIE
from parcela.services.container import Services
from parcela.services.identity.sessions import Origin

DAY_S = 86400


def origin_of(request: Request) -> Origin:
    """Address, program and device of a request."""
    agent = request.headers.get("user-agent", "")
    return Origin(client_address(request), agent, device=request.cookies.get(DEVICE_COOKIE, ""))


def keep_device(request: Request, response: Response, services: Services, device: str) -> None:
    """Let the browser be known from now on; ``device`` is the value of its cookie, "" for none."""
    if device:
        secure = request.url.scheme == "https"  # a lab without TLS must be able to log in too
        life_s = services.settings.known_device_days * DAY_S
        response.set_cookie(DEVICE_COOKIE, device, life_s, secure=secure, httponly=True, samesite="lax")
