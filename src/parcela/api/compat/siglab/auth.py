"""``/api/auth``: logging in, registering, who is here."""

import secrets
from typing import Annotated

from fastapi import Depends, Request, Response

from parcela.api.compat.origin import refuse_foreign_origin
from parcela.api.compat.siglab.caller import COOKIE, OptionalCaller, Requires
from parcela.api.compat.siglab.errors import errors, siglab_router
from parcela.api.compat.siglab.schemas import (
    Acceso,
    Registrado,
    Registro,
    Sesion,
    UsuarioActivo,
    UsuarioLeido,
    UsuariosActivos,
)
from parcela.api.compat.siglab.words import ROLE_NAMES
from parcela.api.dependencies.caller import client_address
from parcela.api.dependencies.origins import keep_device, origin_of
from parcela.api.dependencies.uow import AppServices, ReadUow
from parcela.core.permissions import CLIENT_ROLE, Permission
from parcela.repositories.users import UserRecord
from parcela.services.access import Caller
from parcela.services.identity.registration import Applicant

# Before everything else: a page of another site must not even log somebody in, as somebody else.
FOREIGN = [Depends(refuse_foreign_origin)]
router = siglab_router("/api/auth")
UserReader = Annotated[Caller, Depends(Requires(Permission.USER_READ))]
NOWHERE = "siglab.invalid"
"""Domain of the addresses of accounts that came without one; nobody can own it (RFC 2606)."""


@router.post("/login", dependencies=FOREIGN, responses=errors(400, 401, 403, 413, 422, 429))
async def entrar(body: Acceso, request: Request, response: Response, services: AppServices) -> Sesion:
    """Log in with a username and a password. The session is in a cookie too, in place of the one before."""
    response.headers["Cache-Control"] = "no-store"
    pair = await services.auth.login_from(body.username, body.password, origin_of(request), code=body.codigo_totp)
    keep_device(request, response, services, pair.device)
    await COOKIE.end_session(request, services)
    COOKIE.keep(request, response, pair.access_token)
    caller = await services.auth.authenticate(pair.access_token, client_address(request))
    async with services.uows.read() as uow:
        user = _usuario(await services.users.get(uow, caller, caller.user_id))
    return Sesion(
        mensaje="Inicio de sesión correcto",
        access_token=pair.access_token,
        token=pair.access_token,
        token_type=pair.token_type,
        expires_in=pair.expires_in_s,
        usuario=user,
    )


@router.post("/register", dependencies=FOREIGN, responses=errors(400, 401, 403, 409, 413, 422))
async def registrar(body: Registro, caller: OptionalCaller, request: Request, services: AppServices) -> Registrado:
    """Make an account: one's own (role `cliente`, where registration is open), or with `user:write` any.

    Where mails are sent, an account of one's own with an `email` comes by mail: `usuario` is null then.
    """
    applicant = Applicant(
        email=body.email or f"{secrets.token_hex(8)}@{NOWHERE}",
        username=body.username,
        password=body.password,
        full_name=body.nombre_completo,
        role=body.rol or CLIENT_ROLE,
        locale="es",
        reachable=body.email is not None,
    )
    user = await services.registration.register(caller, applicant, origin_of(request))
    if user is None:
        return Registrado(mensaje="Revise su correo: le dice cómo seguir", usuario=None)
    return Registrado(mensaje="Usuario registrado", usuario=_usuario(user))


@router.get("/usuarios/activos", responses=errors(401, 403))
async def usuarios_activos(services: AppServices, caller: UserReader, uow: ReadUow) -> UsuariosActivos:
    """Who is logged in now; needs `user:read`."""
    found = [
        UsuarioActivo(
            id=one.user_id,
            username=one.username,
            nombre_completo=one.full_name,
            rol=ROLE_NAMES.get(one.role, one.role),
            ultima_actividad=one.seen_at,
        )
        for one in await services.sessions.active(uow, caller)
    ]
    return UsuariosActivos(total=len(found), usuarios=found)


def _usuario(user: UserRecord) -> UsuarioLeido:
    role = ROLE_NAMES.get(user.role, user.role)
    return UsuarioLeido(id=user.id, username=user.username, nombre_completo=user.full_name, rol=role)
