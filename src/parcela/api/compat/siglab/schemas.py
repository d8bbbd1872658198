"""Bodies and answers of siglab. Unknown fields are ignored, as they were."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from parcela.api.compat.siglab.words import ROLES, plain
from parcela.api.schemas.common import Written
from parcela.api.schemas.users import NO_CONTROLS, EmailText, Password, Username

PLAIN = r"^[^<>\x00-\x1f\x7f-\x9f]*$"
"""Texts that older pages put into HTML as they are."""
PLAIN_LINES = r"^[^<>\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
"""The same for texts of several lines."""


def _role(text: str) -> str:
    """The role's name in our vocabulary; roles of one's own are called by their own name."""
    return ROLES.get(plain(text), text.strip())


Rol = Annotated[
    str,
    Field(max_length=64, pattern=NO_CONTROLS, description="administrador, cliente, or a role's name"),
    AfterValidator(_role),
]


def or_none(value: object) -> object:
    """Forms send "" for what was left empty."""
    return None if value == "" else value


class Entrada(Written):
    """Base of bodies."""

    model_config = ConfigDict(extra="ignore")


class Acceso(Entrada):
    """Who, and the password."""

    model_config = ConfigDict(json_schema_extra={"example": {"username": "ana", "password": "correct horse battery"}})

    username: Annotated[str, Field(min_length=1, max_length=254, description="Username or e-mail address")]
    password: Annotated[str, Field(max_length=1000)]
    codigo_totp: Annotated[str, Field(max_length=64, description="Of accounts with a second factor")] = ""


class Registro(Entrada):
    """A new account. Without ``email`` it gets an address that no mail can reach."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "nombre_completo": "Ana Quispe",
                "username": "ana",
                "password": "correct horse battery",
                "rol": "cliente",
            }
        }
    )

    nombre_completo: Annotated[str, Field(min_length=1, max_length=255, pattern=PLAIN)]
    username: Username
    password: Password
    rol: Annotated[Rol | None, BeforeValidator(or_none)] = None
    email: Annotated[EmailText | None, BeforeValidator(or_none)] = None


class UsuarioLeido(BaseModel):
    """An account."""

    id: int = Field(examples=[7])
    username: str = Field(examples=["ana"])
    nombre_completo: str = Field(examples=["Ana Quispe"])
    rol: str = Field(examples=["cliente"])


class Sesion(BaseModel):
    """The answer to a login. The token is for ``Authorization: Bearer``, under both names clients know."""

    mensaje: str = Field(examples=["Inicio de sesión correcto"])
    access_token: str
    token: str
    token_type: str = Field(examples=["bearer"])
    expires_in: int = Field(description="Life of the token in seconds", examples=[3600])
    usuario: UsuarioLeido


class Registrado(BaseModel):
    """The answer to a registration."""

    mensaje: str = Field(examples=["Usuario registrado"])
    usuario: UsuarioLeido | None


class UsuarioActivo(UsuarioLeido):
    """Somebody who is logged in."""

    ultima_actividad: datetime


class UsuariosActivos(BaseModel):
    """Who is logged in, the last seen first."""

    total: int = Field(examples=[1])
    usuarios: list[UsuarioActivo]


def wrong(code: str, sentence: str) -> PydanticCustomError:
    """A value that is not accepted, with a Spanish sentence."""
    return PydanticCustomError(code, "{sentence}", {"sentence": sentence})
