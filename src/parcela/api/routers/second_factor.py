"""The second factor of the caller: codes of an authenticator app."""

from fastapi import Response

from parcela.api.dependencies.caller import CurrentCaller
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.routers.auth import NO_STORE
from parcela.api.routing import v1_router
from parcela.api.schemas.second_factor import (
    EnrolmentRead,
    RecoveryCodesRead,
    SecondFactorBegin,
    SecondFactorCode,
    SecondFactorDisable,
    SecondFactorRead,
)

router = v1_router("/second-factor", tags=["auth"])


@router.get("", responses=problem_responses(401, 403))
async def read_second_factor(caller: CurrentCaller, services: AppServices, uow: ReadUow) -> SecondFactorRead:
    """Show whether you have a second factor."""
    return SecondFactorRead.model_validate(await services.second_factors.status(uow, caller))


# No Idempotency-Key on the following: their answers hold secrets, which must not be kept.
@router.post("", status_code=201, responses=problem_responses(400, 401, 403, 409, 413, 422, 429))
async def begin_second_factor(
    body: SecondFactorBegin, caller: CurrentCaller, services: AppServices, response: Response
) -> EnrolmentRead:
    """Begin to set one up. It counts once you confirm it with a code; a repeat makes another secret."""
    response.headers.update(NO_STORE)
    return EnrolmentRead.model_validate(await services.second_factors.begin(caller, body.password))


@router.post("/confirm", responses=problem_responses(400, 401, 403, 404, 409, 413, 422))
async def confirm_second_factor(
    body: SecondFactorCode, caller: CurrentCaller, services: AppServices, uow: WriteUow, response: Response
) -> RecoveryCodesRead:
    """Turn it on with a code of the app. The answer holds ten recovery codes, shown this once."""
    response.headers.update(NO_STORE)
    return RecoveryCodesRead(recovery_codes=await services.second_factors.confirm(uow, caller, body.code))


@router.post("/recovery-codes", responses=problem_responses(400, 401, 403, 409, 413, 422, 429))
async def renew_recovery_codes(
    body: SecondFactorCode, caller: CurrentCaller, services: AppServices, response: Response
) -> RecoveryCodesRead:
    """Make ten new recovery codes; the old ones are worth nothing from now on. Needs a code."""
    response.headers.update(NO_STORE)
    return RecoveryCodesRead(recovery_codes=await services.second_factors.renew_codes(caller, body.code))


@router.post("/disable", status_code=204, responses=problem_responses(400, 401, 403, 409, 413, 422, 429))
async def disable_second_factor(body: SecondFactorDisable, caller: CurrentCaller, services: AppServices) -> None:
    """Turn it off. Needs your password and a code."""
    await services.second_factors.disable(caller, body.password, body.code)
