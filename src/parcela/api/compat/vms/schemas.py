"""Bodies and answers of ``vms``. Unknown fields are ignored, as they were."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from parcela.api.compat.siglab.words import ROLE_NAMES, ROLES, plain
from parcela.api.schemas.common import Schema
from parcela.api.schemas.users import NO_CONTROLS, EmailText, FullName, Password
from parcela.api.schemas.vms import Cores, Disk, Ram, VmName
from parcela.core.lifecycle import VmState
from parcela.core.permissions import CLIENT_ROLE
from parcela.repositories.users import UserRecord
from parcela.services.catalogue_rules import TEXT_PATTERN


def _role(text: str) -> str:
    """The role's name in our vocabulary."""
    role = ROLES.get(plain(text))
    if role is None:
        raise PydanticCustomError("rol", "The rol is administrador or cliente.")
    return role


Rol = Annotated[
    str,
    Field(max_length=64, pattern=NO_CONTROLS, description="administrador or cliente", examples=["cliente"]),
    AfterValidator(_role),
]
Image = Annotated[str, Field(min_length=1, max_length=100, pattern=TEXT_PATTERN, description="Name of the image")]
FlavourName = Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN, description="Instead of the sizes")]


class Input(BaseModel):
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
    rol: Rol | None = None


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


class NewVm(Input):
    """A VM to be made, with a flavour or with all three sizes."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "web", "cores": 1, "ram": 128, "disk": 1, "os": "tiny"}}
    )

    name: VmName
    os: Image
    cores: Cores | None = None
    ram: Ram | None = None
    disk: Disk | None = None
    flavour: FlavourName | None = None


class VmChange(Input):
    """What to change; fields left out or null stay as they are. Name and sizes need the VM to be stopped."""

    model_config = ConfigDict(json_schema_extra={"example": {"cores": 2}})

    name: VmName | None = None
    cores: Cores | None = None
    ram: Ram | None = None
    disk: Disk | None = None
    os: Image | None = Field(default=None, description="Only what it is already")
    owner_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        default=None, description="Only who it is already"
    )
    status: VmState | None = Field(
        default=None, description="What it is already, or `running` or `stopped`: starts or stops it"
    )


class VmRead(Schema):
    """A VM."""

    id: int = Field(examples=[12])
    name: str = Field(examples=["web"])
    cores: int
    ram: int = Field(validation_alias="memory_mib", description="MiB")
    disk: int = Field(validation_alias="disk_gib", description="GiB")
    os: str = Field(examples=["tiny"])
    status: VmState = Field(validation_alias="state", description="What it was last seen doing")
    owner_id: int
