"""``/users/``. The original left it open; here it needs a token."""

from typing import Annotated

from fastapi import Depends, Response

from parcela.api.compat.lists import MOST, Cursor, Limit, whole
from parcela.api.compat.vms.errors import VmsRoute, errors
from parcela.api.compat.vms.schemas import NewUser, UserChange, UserRead
from parcela.api.dependencies.caller import CurrentCaller, Requires
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.routing import json_router
from parcela.api.schemas.flavours import RowId
from parcela.core.permissions import Permission
from parcela.repositories.users import UserRecord
from parcela.services import users as rules
from parcela.services.access import Caller
from parcela.services.usernames import username_for

router = json_router("/users", tags=["vms"], route_class=VmsRoute, responses=errors(429))
UserReader = Annotated[Caller, Depends(Requires(Permission.USER_READ))]
UserWriter = Annotated[Caller, Depends(Requires(Permission.USER_WRITE))]


async def _hashed(body: NewUser, _caller: UserWriter, services: AppServices) -> str:
    return await services.users.hash_password(body.password)


async def _hashed_if_new(body: UserChange, _caller: UserWriter, services: AppServices) -> str | None:
    return None if body.password is None else await services.users.hash_password(body.password)


# Before the unit of work, which would keep every other writer waiting while the password is hashed.
PasswordHash = Annotated[str, Depends(_hashed)]
NewPasswordHash = Annotated[str | None, Depends(_hashed_if_new)]


@router.get("/", summary="List users (vms)", responses=errors(401, 403, 422))
async def list_users(
    services: AppServices,
    caller: UserReader,
    uow: ReadUow,
    response: Response,
    limit: Limit = MOST,
    cursor: Cursor = None,
) -> list[UserRead]:
    """All users; needs `user:read`."""
    rows = await whole(lambda page: services.users.page(uow, caller, page), response, limit, cursor)
    return [UserRead.of(UserRecord(**row)) for row in rows]


@router.post("/", summary="Make a user (vms)", status_code=201, responses=errors(400, 401, 403, 409, 413, 422))
async def create_user(
    body: NewUser, caller: UserWriter, password_hash: PasswordHash, services: AppServices, uow: WriteUow
) -> UserRead:
    """Needs `user:write`. The username is made of the e-mail address."""
    new = rules.NewUser(
        email=body.email,
        username=await username_for(uow, body.email),
        password_hash=password_hash,
        full_name=body.name,
        role=body.rol,
    )
    return UserRead.of(await services.users.create(uow, caller, new))


@router.get("/{user_id}", summary="Show a user (vms)", responses=errors(401, 404, 422))
async def read_user(user_id: RowId, caller: CurrentCaller, services: AppServices, uow: ReadUow) -> UserRead:
    """Yourself, or with `user:read` anybody."""
    return UserRead.of(await services.users.get(uow, caller, user_id))


@router.put("/{user_id}", summary="Change a user (vms)", responses=errors(400, 401, 403, 404, 409, 413, 422))
async def update_user(
    user_id: RowId,
    body: UserChange,
    caller: UserWriter,
    password_hash: NewPasswordHash,
    services: AppServices,
    uow: WriteUow,
) -> UserRead:
    """Needs `user:write`. A new password ends all tokens of the user."""
    changes = rules.UserChanges(email=body.email, full_name=body.name, role=body.rol, password_hash=password_hash)
    return UserRead.of(await services.users.update(uow, caller, user_id, changes))


@router.delete("/{user_id}", summary="Remove a user (vms)", status_code=204, responses=errors(401, 403, 404, 409, 422))
async def delete_user(user_id: RowId, caller: UserWriter, services: AppServices, uow: WriteUow) -> None:
    """Needs `user:write`. Who still owns something cannot be removed: 409."""
    await services.users.delete(uow, caller, user_id)
