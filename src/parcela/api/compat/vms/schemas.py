"""Bodies and answers of ``vms``. Unknown fields are ignored, as they were."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from parcela.api.compat.siglab.words import ROLE_NAMES, ROLES, plain
from parcela.api.compat.vms.words import status_of, wish_of
from parcela.api.schemas.common import Schema, Written
from parcela.api.schemas.users import NO_CONTROLS, EmailText, FullName, Password
from parcela.api.schemas.vms import Cores, Disk, Ram
from parcela.core.labels import MAX_LABEL
from parcela.core.lifecycle import DesiredState
from parcela.core.permissions import CLIENT_ROLE
from parcela.repositories.users import UserRecord
from parcela.services.catalogue.rules import TEXT_PATTERN


def _role(text: str) -> str:
    """The role's name in our vocabulary."""
    role = ROLES.get(plain(text))
    if role is None:
        raise PydanticCustomError("rol", "The rol is administrador or cliente.")
    return role


def _wish(value: object) -> DesiredState | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise PydanticCustomError("status", "The status is running, stopped or paused.")
    return wish_of(value)


RolText = Annotated[str, Field(max_length=64, pattern=NO_CONTROLS, examples=["cliente"])]
Rol = Annotated[RolText, Field(description="administrador or cliente"), AfterValidator(_role)]
Image = Annotated[
    str, Field(min_length=1, max_length=100, pattern=TEXT_PATTERN, description="Name of an image, or how it begins")
]
VmName = Annotated[
    str, Field(min_length=1, max_length=MAX_LABEL, description="Any words; the host name is made of them")
]
Status = Annotated[DesiredState | None, BeforeValidator(_wish)]
FlavourName = Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN, description="Instead of the sizes")]


class Input(Written):
    """Base of bodies."""

    model_config = ConfigDict(extra="ignore")


class Login(Input):
    """Who, and the password."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "ana@lab.example", "password": "correct horse battery"}}
    )

    email: Annotated[str, Field(min_length=1, max_length=254, description="E-mail address or username")]
    password: Annotated[str, Field(max_length=1000)]
    totp_code: Annotated[str, Field(max_length=64, description="Where the account has a second factor")] = ""


class Session(BaseModel):
    """The answer to a login; the token is for ``Authorization: Bearer``, under both names clients know."""

    token: str
    access_token: str
    token_type: str = Field(examples=["bearer"])
    expires_in: int = Field(description="Life of the token in seconds", examples=[3600])


class NewUser(Input):
    """A user to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "Ana Quispe",
                "email": "ana@lab.example",
                "password": "correct horse battery",
                "rol": "cliente",
            }
        }
    )

    name: FullName
    email: EmailText
    password: Password
    rol: Rol = CLIENT_ROLE


class UserChange(Input):
    """What to change; fields left out or null stay as they are."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "Ana Quispe", "rol": "administrador"}})

    name: FullName | None = None
    email: EmailText | None = None
    password: Password | None = None
    rol: RolText | None = Field(default=None, description="administrador, cliente, or what it is already")


class UserRead(Schema):
    """A user."""

    id: int = Field(examples=[7])
    name: str = Field(examples=["Ana Quispe"])
    email: str = Field(examples=["ana@lab.example"])
    rol: str = Field(description="administrador, cliente, or the name of another role", examples=["cliente"])

    @classmethod
    def of(cls, user: UserRecord) -> "UserRead":
        """A user of ours; who has no full name is called by the username."""
        role = ROLE_NAMES.get(user.role, user.role)
        return cls(id=user.id, name=user.full_name or user.username, email=user.email, rol=role)


class PendingUser(BaseModel):
    """Somebody who has registered where a mail says how to go on; whether there was an account is not told."""

    id: None = None
    name: str
    email: str
    rol: str
    message: str


class NewVm(Input):
    """A VM to be made, with a flavour or with all three sizes."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"name": "Servidor 1", "cores": 1, "ram": 128, "disk": 1, "os": "tiny", "status": "running"}
        }
    )

    name: VmName
    os: Image
    cores: Cores | None = None
    ram: Ram | None = None
    disk: Disk | None = None
    flavour: FlavourName | None = None
    status: Status = Field(default=DesiredState.RUNNING, description="running boots it, stopped does not")


class VmChange(Input):
    """What to change; fields left out or null stay as they are. Sizes need the VM to be stopped."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "Servidor 2", "cores": 2, "status": "running"}})

    name: VmName | None = None
    cores: Cores | None = None
    ram: Ram | None = None
    disk: Disk | None = None
    os: Image | None = Field(default=None, description="Only what it is already")
    owner_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        default=None, description="Only who it is already"
    )
    status: Status | None = Field(default=None, description="running, stopped or paused: starts, stops or pauses it")


class VmRead(Schema):
    """A VM."""

    id: int = Field(examples=[12])
    name: str = Field(description="As it was typed; the host name where nothing was", examples=["Servidor 1"])
    cores: int
    ram: int = Field(description="MiB")
    disk: int = Field(description="GiB")
    os: str = Field(description="Name of the image", examples=["tiny"])
    status: str = Field(description="running, stopped, paused, error, deleting or deleted", examples=["running"])
    owner_id: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "VmRead":
        """A row of our list in the words of this API."""
        return cls(
            id=row["id"],
            name=row["label"] or row["name"],
            cores=row["cores"],
            ram=row["memory_mib"],
            disk=row["disk_gib"],
            os=row["os"],
            status=status_of(row),
            owner_id=row["owner_id"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
