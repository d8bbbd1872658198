"""``/api/v1/users/`` for clients of ``vm_api``, and their registration without a token."""

from typing import Annotated

from fastapi import Depends, Request, Response

from parcela.api.compat.vm_api.routing import StrangersRoute, marked_router
from parcela.api.compat.vm_api.schemas import Limit, NewUser, Pending, Skip, UserRead, user_of
from parcela.api.dependencies.caller import CurrentCaller, Requires
from parcela.api.dependencies.origins import origin_of
from parcela.api.dependencies.uow import AppServices, ReadUow
from parcela.api.routing import V1, json_router
from parcela.core.permissions import Permission
from parcela.repositories.paging import PageRequest
from parcela.services.access import Caller
from parcela.services.identity.registration import Applicant

router = marked_router("/users")
registration = json_router(f"{V1}/users", tags=["vm_api"], route_class=StrangersRoute)
UserReader = Annotated[Caller, Depends(Requires(Permission.USER_READ))]
UserWriter = Annotated[Caller, Depends(Requires(Permission.USER_WRITE))]


@router.get("/")
async def list_users(
    services: AppServices, caller: UserReader, uow: ReadUow, skip: Skip = 0, limit: Limit = 100
) -> list[UserRead]:
    """All users by id; needs `user:read`."""
    page = await services.users.page(uow, caller, PageRequest(limit=limit, skip=skip))
    return [user_of(row) for row in page.rows]


@router.get("/me")
async def read_me(services: AppServices, caller: CurrentCaller, uow: ReadUow) -> UserRead:
    """Who the token belongs to."""
    return user_of(await services.users.me(uow, caller))


@router.post("/")
async def create_user(body: NewUser, caller: UserWriter, request: Request, services: AppServices) -> UserRead:
    """Make a user; needs `user:write`. 200, as in the original."""
    user = await services.registration.register(caller, _applicant(body), origin_of(request))
    if user is None:
        raise AssertionError("whoever may make users gets one")
    return user_of(user)


@registration.post("/", include_in_schema=False, response_model=UserRead | Pending)
async def register(body: NewUser, request: Request, response: Response, services: AppServices) -> UserRead:
    """Make an account of one's own, role `client`, where registration is open."""
    user = await services.registration.register(None, _applicant(body), origin_of(request))
    if user is not None:
        return user_of(user)
    response.status_code = 202
    wish = {"id": None, "email": body.email, "username": body.username, "created_at": None}
    message = "Look into your mail: it says how to go on."
    return Pending(**wish, is_active=False, is_superuser=False, message=message)


def _applicant(body: NewUser) -> Applicant:
    return Applicant(email=body.email, password=body.password, username=body.username, role=body.role)
