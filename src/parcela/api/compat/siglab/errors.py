"""Errors as clients of siglab read them: one JSON object with a Spanish sentence in ``detail`` and ``message``."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from parcela.api.compat.siglab.reasons import first_reason, place_of, reason
from parcela.api.errors import TITLES, ErrorAnswer, ProblemDetails
from parcela.api.routing import json_router
from parcela.core.cookies import SIGLAB_PREFIXES

BY_CODE: Mapping[str, str] = {
    "account_disabled": "La cuenta no está activa; consulte a un administrador.",
    "bad_code": "El código del segundo factor no es correcto.",
    "bad_credentials": "El usuario o la contraseña no son correctos.",
    "beyond_your_rights": "No puede dar a otro más derechos de los que usted tiene.",
    "email_taken": "Ese correo ya tiene una cuenta.",
    "foreign_origin": (
        "La petición viene de una página de otro sitio. Si es la suya, un administrador debe nombrar su dirección: "
        "PARCELA_PUBLIC_URL o PARCELA_CORS_ORIGINS."
    ),
    "machine_archived": "La máquina está archivada; agréguela de nuevo para usarla.",
    "machine_exists": "Ya existe una máquina con ese código.",
    "machine_has_open_maintenance": "La máquina tiene un mantenimiento abierto; termínelo primero.",
    "machine_is_a_host": "La máquina es un anfitrión de máquinas virtuales; sepárela de él primero.",
    "machine_not_found": "La máquina no existe.",
    "machine_retired": "La máquina está de baja.",
    "machine_status": "Una máquina de baja solo puede volver a 'operativa'.",
    "permission_missing": "No tiene permiso para hacer esto.",
    "registration_closed": "Aquí no se puede registrar; pida una cuenta a un administrador.",
    "registration_role": "Quien se registra obtiene el rol 'cliente'; los demás los da un administrador.",
    "report_busy": "Se están generando demasiados informes; inténtelo dentro de un momento.",
    "report_too_large": "El informe sería demasiado grande; pida una parte: 'codigo'.",
    "report_too_slow": "El informe no estuvo listo a tiempo; pida menos registros o use CSV.",
    "route_not_found": "Esta dirección no existe.",
    "session_missing": "Inicie sesión.",
    "sign_in_busy": "Demasiadas personas inician sesión ahora; inténtelo dentro de un momento.",
    "storage_failed": "No se ha cambiado nada: el disco del servidor no se puede escribir; avise a un administrador.",
    "storage_full": "No se ha cambiado nada: el disco del servidor está lleno; avise a un administrador.",
    "storage_read_only": "No se ha cambiado nada: el disco del servidor es de solo lectura; avise a un administrador.",
    "token_expired": "La sesión ha caducado; inicie sesión de nuevo.",
    "token_invalid": "El token no es válido; inicie sesión.",
    "token_missing": "Inicie sesión: falta 'Authorization: Bearer <token>'.",
    "token_revoked": "La sesión fue cerrada; inicie sesión de nuevo.",
    "too_many_attempts": "Demasiados intentos; espere antes de intentarlo de nuevo.",
    "totp_required": "Falta el código del segundo factor: 'codigo_totp'.",
    "unknown_machine": "La máquina no existe.",
    "unknown_role": "Ese rol no existe.",
    "username_taken": "Ese nombre de usuario ya existe.",
}
"""What is said for a ``code``.

Others get the first concrete reason there is, or the sentence of their status; ``motivo`` has the English one.
"""
BY_STATUS: Mapping[int, str] = {
    400: "La petición no se entiende.",
    401: "Inicie sesión.",
    403: "No tiene permiso para hacer esto.",
    404: "No existe.",
    405: "Esta dirección no admite ese método.",
    409: "El estado actual no lo permite.",
    412: "Ha cambiado mientras tanto.",
    413: "Es demasiado grande.",
    415: "El tipo de contenido no se acepta.",
    422: "Hay datos que no son válidos.",
    429: "Demasiadas peticiones; espere un momento.",
    500: "Algo salió mal en el servidor; el registro tiene los detalles.",
    503: "El servicio no está disponible; inténtelo más tarde.",
    507: "El servidor no tiene sitio para guardarlo; avise a un administrador.",
}
STATUSES: Mapping[str, int] = {"unknown_machine": 404}
"""Statuses that clients expect where the canonical API has another one."""


class ErrorDeCampo(BaseModel):
    """One value that is wrong."""

    campo: str = Field(examples=["body.tipo_equipo"])
    mensaje: str = Field(examples=["Tipos aceptados: PC, IMP, SRV, SW, RTR, MON, OTRO."])
    codigo: str = Field(examples=["tipo_equipo"])


class ErrorSiglab(BaseModel):
    """Body of every error of these routes; ``message`` is ``detail`` again, which some clients look for."""

    detail: str = Field(examples=["La máquina no existe."])
    message: str = Field(examples=["La máquina no existe."])
    codigo: str = Field(description="The stable `code` of the canonical API", examples=["machine_not_found"])
    motivo: str = Field(description="The same in the words of the canonical API", examples=["There is no machine X."])
    peticion: str = Field(description="Id of the request, also in the log", examples=["0f3c..."])
    errores: list[ErrorDeCampo] = Field(default_factory=list)


class SiglabRoute(APIRoute):
    """A route whose errors are of this family."""

    @staticmethod
    def error_answer(problem: ProblemDetails, headers: Mapping[str, str] | None) -> JSONResponse:
        """Write one error in Spanish."""
        status = STATUSES.get(problem.code, problem.status)
        text = BY_CODE.get(problem.code) or first_reason(problem.problems) or BY_STATUS.get(status, "Algo salió mal.")
        body = ErrorSiglab(
            detail=text,
            message=text,
            codigo=problem.code,
            motivo=problem.detail,
            peticion=problem.instance,
            errores=[
                ErrorDeCampo(campo=place_of(item), mensaje=reason(item), codigo=item.code) for item in problem.problems
            ],
        )
        return JSONResponse(body.model_dump(), status_code=status, headers=headers)


FAMILY: Mapping[str, ErrorAnswer] = dict.fromkeys(SIGLAB_PREFIXES, SiglabRoute.error_answer)
"""Addresses whose errors are of this family where no route has seen the request."""


def siglab_router(prefix: str) -> APIRouter:
    """A router of this family; the load script sends its JSON without ``Content-Type``."""
    return json_router(
        prefix, tags=["siglab"], route_class=SiglabRoute, responses=errors(429), strict_content_type=False
    )


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of a route: its documented errors."""
    return {status: {"description": TITLES[status], "model": ErrorSiglab} for status in sorted(statuses)}
