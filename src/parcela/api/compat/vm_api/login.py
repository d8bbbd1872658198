"""``POST /api/v1/login`` with a form. Its fields say whose client sends it; a JSON body is for the canonical route."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Form, Request, Response
from fastapi.exceptions import RequestValidationError

from parcela.api.compat.vm_api.errors import answer
from parcela.api.dependencies.uow import AppServices
from parcela.api.errors import ERROR_ANSWER
from parcela.api.forms import FormRoute
from parcela.api.routers.auth import open_session
from parcela.api.routing import v1_router
from parcela.api.schemas.auth import LoginRequest, TokenPairRead
from parcela.core.errors import Problem, invalid

router = v1_router(tags=["auth"])


class LoginFormRoute(FormRoute):
    """Two forms at one address: errors are written for the client whose form it is."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Look into a form that is incomplete; a complete one is looked at by the endpoint."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as exc:
                if exc.body is not None and "email" in exc.body and "username" not in exc.body:
                    request.scope[ERROR_ANSWER] = answer
                raise

        return handled


async def login_by_form(
    request: Request,
    response: Response,
    services: AppServices,
    password: Annotated[str, Form(max_length=1000)],
    email: Annotated[str, Form(min_length=1, max_length=254)] = "",
    username: Annotated[str, Form(min_length=1, max_length=254)] = "",
    totp_code: Annotated[str, Form(max_length=64)] = "",
) -> TokenPairRead:
    """Log in with the form of OAuth 2's password flow (``username``), which Swagger UI sends, or that of ``vm_api``.

    The second has ``email`` instead, and its session is answered in the shapes of that API where it shares addresses
    with ours.
    """
    if bool(email) == bool(username):
        text = "The form has 'username' and 'password', or 'email' and 'password' for clients of vm_api."
        raise invalid(
            "request_invalid", text, Problem("body.username", text, "missing" if not email else "one_of_both")
        )
    if email:
        request.scope[ERROR_ANSWER] = answer
    body = LoginRequest(username=email or username, password=password, totp_code=totp_code)
    return await open_session(body, request, response, services, speaks_vm_api=bool(email))


router.add_api_route(
    "/login", login_by_form, methods=["POST"], route_class_override=LoginFormRoute, include_in_schema=False
)
