"""Users."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictBool, StringConstraints

from parcela.api.schemas.common import Body, Composed, Schema
from parcela.core.passwords import MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS

NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"
Line = Annotated[str, StringConstraints(pattern=NO_CONTROLS)]
Locale = Literal["en", "es"]
PASSWORD_RULE = f"{MIN_PASSWORD_CHARS} characters at least, {MAX_PASSWORD_BYTES} bytes of UTF-8 at most"
EmailText = Annotated[
    Line,
    Field(min_length=3, max_length=254, description="Case does not matter", examples=["ana@lab.example"]),
]
Username = Annotated[
    Line,
    Field(
        min_length=2,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,63}$",
        description="Stored in lower case",
        examples=["ana"],
    ),
]
FullName = Annotated[Line, Field(max_length=255, examples=["Ana Quispe"]), Composed]
# The rules are checked by the service, which says how many bytes there are; this only bounds the work.
Password = Annotated[str, Field(max_length=1000, description=PASSWORD_RULE, examples=["correct horse battery"])]
RoleName = Annotated[Line, Field(max_length=64, description="Name of a role", examples=["client"])]


class UserCreate(Body):
    """A new user."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "email": "ana@lab.example",
                "username": "ana",
                "password": "correct horse battery",
                "full_name": "Ana Quispe",
                "role": "client",
            }
        }
    )

    email: EmailText
    username: Username
    password: Password
    full_name: FullName = ""
    role: RoleName = "client"
    is_superuser: StrictBool = Field(default=False, description="Only a superuser may set it")
    is_active: StrictBool = True
    locale: Locale = "en"


class UserUpdate(Body):
    """What to change; fields left out or null stay as they are. A new password ends all tokens of the user."""

    model_config = ConfigDict(json_schema_extra={"example": {"role": "client", "is_active": False}})

    email: EmailText | None = None
    username: Username | None = None
    password: Password | None = None
    full_name: FullName | None = None
    role: RoleName | None = None
    is_superuser: StrictBool | None = Field(default=None, description="Only a superuser may set it")
    is_active: StrictBool | None = None
    locale: Locale | None = None


class MeUpdate(Body):
    """What everybody may change of themselves; fields left out or null stay as they are."""

    model_config = ConfigDict(json_schema_extra={"example": {"full_name": "Ana Quispe", "locale": "es"}})

    full_name: FullName | None = None
    locale: Locale | None = None


KeepTokens = Annotated[bool, Field(description="Leave personal tokens valid; otherwise they are revoked")]


class PasswordChange(Body):
    """The old password and the new one."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"old_password": "correct horse", "new_password": "battery staple"}}
    )

    old_password: Annotated[str, Field(max_length=1000)]
    new_password: Password
    keep_personal_tokens: KeepTokens = False


class UserRead(Schema):
    """A user."""

    id: int = Field(examples=[7])
    email: str = Field(examples=["ana@lab.example"])
    username: str = Field(examples=["ana"])
    full_name: str = Field(examples=["Ana Quispe"])
    role: str = Field(examples=["client"])
    is_superuser: bool
    is_active: bool = Field(description="Others cannot log in, and their tokens do not work")
    locale: str = Field(examples=["en"])
    created_at: datetime
    last_login_at: datetime | None


class MeRead(UserRead):
    """The caller."""

    permissions: list[str] = Field(description="Rights of the role; a superuser has all", examples=[["vm:create"]])
    scopes: list[str] | None = Field(description="Ceiling of a personal token; null in a session")
