"""``/users/``. The original left it open; here it needs a token, but for registering."""

from typing import Annotated

from fastapi import Depends, Request, Response

from parcela.api.compat.lists import MOST, Cursor, Limit, whole
from parcela.api.compat.siglab.words import ROLE_NAMES, ROLES, plain
from parcela.api.compat.vms.errors import VmsRoute, errors
from parcela.api.compat.vms.schemas import NewUser, PendingUser, UserChange, UserRead
from parcela.api.dependencies.caller import CurrentCaller, OptionalCaller, Requires
from parcela.api.dependencies.origins import origin_of
from parcela.api.dependencies.uow import AppServices, ReadUow, WriteUow
from parcela.api.routing import json_router
from parcela.api.schemas.flavours import RowId
from parcela.core.errors import Problem, invalid
from parcela.core.permissions import CLIENT_ROLE, Permission
from parcela.repositories.users import UserRecord
from parcela.services.access import Caller
from parcela.services.identity import users as rules
from parcela.services.identity.registration import Applicant

router = json_router("/users", tags=["vms"], route_class=VmsRoute, responses=errors(429))
LOOK_INTO_MAIL = "Revise su correo: le dice cómo seguir."
UserReader = Annotated[Caller, Depends(Requires(Permission.USER_READ))]
UserWriter = Annotated[Caller, Depends(Requires(Permission.USER_WRITE))]


async def _hashed_if_new(body: UserChange, _caller: UserWriter, services: AppServices) -> str | None:
    return None if body.password is None else await services.users.hash_password(body.password)


# Before the unit of work, which would keep every other writer waiting while the password is hashed.
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
    body: NewUser, caller: OptionalCaller, request: Request, services: AppServices
) -> UserRead | PendingUser:
    """Make a user; needs `user:write`. The username is made of the e-mail address.

    Without a token somebody registers: as `cliente`, where registration is open. Where mails are sent, a mail says how
    to go on: `id` is null then, and `message` tells it.
    """
    if caller is not None:
        caller.require(Permission.USER_WRITE)
    applicant = Applicant(email=body.email, password=body.password, full_name=body.name, role=body.rol, locale="es")
    user = await services.registration.register(caller, applicant, origin_of(request))
    if user is None:
        return PendingUser(name=body.name, email=body.email, rol=ROLE_NAMES[CLIENT_ROLE], message=LOOK_INTO_MAIL)
    return UserRead.of(user)


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
    """Needs `user:write`. What is sent back as it was read stays; a new password ends all tokens of the user."""
    seen = UserRead.of(await services.users.get_for_update(uow, caller, user_id))
    changes = rules.UserChanges(
        email=None if body.email == seen.email else body.email,  # ours now is confirmed or not: not by this
        full_name=None if body.name == seen.name else body.name,
        role=_new_role(body.rol, seen.rol),
        password_hash=password_hash,
    )
    return UserRead.of(await services.users.update(uow, caller, user_id, changes))


def _new_role(sent: str | None, before: str) -> str | None:
    """The role that somebody is to have; None for the same. One that has no word here is sent back as it was read."""
    if sent is None or sent == before:
        return None
    role = ROLES.get(plain(sent))
    if role is None:
        text = "The rol is administrador or cliente."
        raise invalid("unknown_role", text, Problem("body.rol", text, "unknown_role"))
    return role


@router.delete("/{user_id}", summary="Remove a user (vms)", status_code=204, responses=errors(401, 403, 404, 409, 422))
async def delete_user(user_id: RowId, caller: UserWriter, services: AppServices, uow: WriteUow) -> None:
    """Needs `user:write`. Who still owns something cannot be removed: 409."""
    await services.users.delete(uow, caller, user_id)
