"""Users."""

from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Request, Response

from parcela.api.dependencies.caller import CurrentCaller, Requires
from parcela.api.dependencies.origins import keep_device, origin_of
from parcela.api.dependencies.paging import Paging
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.errors import problem_responses
from parcela.api.etags import Precondition
from parcela.api.routing import v1_router
from parcela.api.schemas.common import Composed, PageRead
from parcela.api.schemas.flavours import RowId
from parcela.api.schemas.users import (
    NO_CONTROLS,
    MeRead,
    MeUpdate,
    PasswordChange,
    UserCreate,
    UserRead,
    UserUpdate,
)
from parcela.core.permissions import Permission
from parcela.repositories.users import UserRecord
from parcela.services.access import Caller
from parcela.services.identity.users import NewUser, UserChanges

router = v1_router("/users", tags=["users"])
UserReader = Annotated[Caller, Depends(Requires(Permission.USER_READ))]
UserWriter = Annotated[Caller, Depends(Requires(Permission.USER_WRITE))]
FactorResetter = Annotated[Caller, Depends(Requires(Permission.USER_RESET_FACTOR))]
RoleFilter = Annotated[str | None, Query(max_length=64, pattern=NO_CONTROLS, description="Name of a role")]
PrefixFilter = Annotated[
    str | None,
    Query(max_length=254, pattern=NO_CONTROLS, description="Beginning of an e-mail address, username or full name"),
    Composed,
]


async def _hashed(body: UserCreate, _caller: UserWriter, services: AppServices) -> str:
    return await services.users.hash_password(body.password, about=[body.email, body.username, body.full_name])


async def _hashed_if_new(user_id: RowId, body: UserUpdate, _caller: UserWriter, services: AppServices) -> str | None:
    if body.password is None:
        return None
    async with services.uows.read() as uow:
        names = await services.users.names(uow, user_id)
    about = [*names, *(new for new in (body.email, body.username, body.full_name) if new)]
    return await services.users.hash_password(body.password, about=about)


# Dependencies, placed before the unit of work: hashing takes a quarter of a second, in which an open unit of work would
# keep every other writer of a SQLite installation waiting.
PasswordHash = Annotated[str, Depends(_hashed)]
NewPasswordHash = Annotated[str | None, Depends(_hashed_if_new)]


@router.get("/", responses=problem_responses(401, 403, 422))
async def list_users(
    caller: UserReader,
    paging: Paging,
    services: AppServices,
    uow: ReadUow,
    role: RoleFilter = None,
    is_active: bool | None = None,
    q: PrefixFilter = None,
) -> PageRead[UserRead]:
    """List users. Sortable by id, email, username, full_name, created_at."""
    page = await services.users.page(uow, caller, paging, role=role, is_active=is_active, prefix=q)
    items = [UserRead.model_validate(dict(row)) for row in page.rows]
    return PageRead[UserRead](items=items, next_cursor=page.next_cursor)


# No Idempotency-Key: its fingerprint would be a fast hash over the password. A repeat is a 409 by the e-mail address.
@router.post("/", status_code=201, responses=problem_responses(400, 401, 403, 409, 413, 422))
async def create_user(
    body: UserCreate,
    caller: UserWriter,
    password_hash: PasswordHash,
    services: AppServices,
    uow: WriteUow,
    response: Response,
) -> UserRead:
    """Create a user with a role that has no more permissions than you have."""
    new = NewUser(**body.model_dump(exclude={"password"}), password_hash=password_hash)
    user = await services.users.create(uow, caller, new)
    response.headers["Location"] = f"/api/v1/users/{user.id}"
    return UserRead.model_validate(user)


@router.get("/me", responses=problem_responses(401, 404))
async def read_me(caller: CurrentCaller, services: AppServices, uow: ReadUow) -> MeRead:
    """Show who you are and what you may do."""
    return _me(caller, await services.users.me(uow, caller))


@router.patch("/me", responses=problem_responses(400, 401, 403, 404, 412, 413, 422))
async def update_me(
    body: MeUpdate, caller: CurrentCaller, services: AppServices, uow: WriteUow, precondition: Precondition
) -> MeRead:
    """Change your name or language."""
    check = precondition.of(partial(_me, caller))
    return _me(caller, await services.users.update_me(uow, caller, **body.model_dump(), check=check))


@router.post("/me/password", status_code=204, responses=problem_responses(400, 401, 403, 404, 413, 422, 429))
async def change_password(
    body: PasswordChange, caller: CurrentCaller, request: Request, response: Response, services: AppServices
) -> None:
    """Change your password; your other sessions end, and your personal tokens unless `keep_personal_tokens` is true."""
    device = await services.auth.change_password(
        caller, body.old_password, body.new_password, origin_of(request), keep_personal=body.keep_personal_tokens
    )
    keep_device(request, response, services, device)


@router.get("/{user_id}", responses=problem_responses(401, 404, 422))
async def read_user(user_id: RowId, caller: CurrentCaller, services: AppServices, uow: ReadUow) -> UserRead:
    """Show a user: yourself, or with the permission `user:read` anybody."""
    return UserRead.model_validate(await services.users.get(uow, caller, user_id))


@router.patch("/{user_id}", responses=problem_responses(400, 401, 403, 404, 409, 412, 413, 422))
async def update_user(
    user_id: RowId,
    body: UserUpdate,
    caller: UserWriter,
    password_hash: NewPasswordHash,
    services: AppServices,
    uow: WriteUow,
    precondition: Precondition,
) -> UserRead:
    """Change a user that has no more permissions than you have. It works from the user's next request on."""
    changes = UserChanges(**body.model_dump(exclude={"password"}), password_hash=password_hash)
    check = precondition.of(UserRead.model_validate)
    return UserRead.model_validate(await services.users.update(uow, caller, user_id, changes, check))


@router.delete("/{user_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 412, 422))
async def delete_user(
    user_id: RowId, caller: UserWriter, services: AppServices, uow: WriteUow, precondition: Precondition
) -> None:
    """Remove a user who owns nothing any more; otherwise the answer lists what stands in the way."""
    await services.users.delete(uow, caller, user_id, precondition.of(UserRead.model_validate))


@router.delete("/{user_id}/second-factor", status_code=204, responses=problem_responses(401, 403, 404, 422))
async def reset_second_factor(user_id: RowId, caller: FactorResetter, services: AppServices, uow: WriteUow) -> None:
    """Take the second factor off somebody who lost it; their sessions end. Needs `user:reset_factor`."""
    await services.second_factors.reset(uow, caller, user_id)


def _me(caller: Caller, record: UserRecord) -> MeRead:
    """The answer about the caller."""
    facts = {name: getattr(record, name) for name in UserRead.model_fields}
    scopes = None if caller.scopes is None else sorted(caller.scopes)
    return MeRead(**facts, permissions=sorted(caller.permissions), scopes=scopes)
