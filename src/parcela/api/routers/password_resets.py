"""A new password by mail."""

from fastapi import Request, Response

from parcela.api.dependencies.origins import keep_device, origin_of
from parcela.api.dependencies.uow import AppServices
from parcela.api.errors import problem_responses
from parcela.api.routing import v1_router
from parcela.api.schemas.password_resets import PasswordResetComplete, PasswordResetRequest

router = v1_router("/password-resets", tags=["auth"])


@router.post("", status_code=202, responses=problem_responses(400, 413, 422, 429, 501))
async def request_password_reset(body: PasswordResetRequest, request: Request, services: AppServices) -> None:
    """Ask for a link to a new password by mail. The answer is the same whether there is such an account or not."""
    origin = origin_of(request)
    await services.password_resets.request(body.email, origin.address, device=origin.device)


@router.post("/complete", status_code=204, responses=problem_responses(400, 413, 422, 429))
async def complete_password_reset(
    body: PasswordResetComplete, request: Request, response: Response, services: AppServices
) -> None:
    """Set the new password with the token of the mail: once, within 30 minutes, and only with that of the newest mail.

    All sessions end, and personal tokens are revoked unless `keep_personal_tokens` is true.
    """
    device = await services.password_resets.complete(
        body.token, body.new_password, origin_of(request), keep_personal=body.keep_personal_tokens
    )
    keep_device(request, response, services, device)
