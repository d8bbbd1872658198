"""Bodies and answers of ``vm_api``. Unknown fields are ignored, as they were."""

import math
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Any, NoReturn

from fastapi import Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from parcela.api.compat.lists import MOST
from parcela.api.compat.vms.schemas import VmChange
from parcela.api.compat.vms.words import status_of, wish_of
from parcela.api.schemas.common import Schema, Written
from parcela.api.schemas.users import EmailText, Line, Password, Username
from parcela.api.schemas.vms import Cores, Disk
from parcela.core.labels import MAX_LABEL
from parcela.core.lifecycle import DesiredState
from parcela.core.permissions import CLIENT_ROLE
from parcela.repositories.users import UserRecord
from parcela.services.catalogue.rules import TEXT_PATTERN

MIB_PER_GB = 1024
"""This API's gigabyte is a gibibyte, as that of every hypervisor."""
MIN_RAM_MIB, MAX_RAM_MIB = 64, 1_048_576

Skip = Annotated[int, Query(ge=0, le=2**31 - 1, description="Rows before the first one")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="Rows of the answer at most")]


def gb_of(mib: int) -> int | float:
    """Memory as this API tells it: a whole number where it is one, else an exact fraction (128 MiB are 0.125)."""
    gb = Fraction(mib, MIB_PER_GB)
    return gb.numerator if gb.denominator == 1 else float(gb)


def mib_of(value: object) -> int:
    """Whole MiB of a number of GB.

    Raises:
        PydanticCustomError: it is no number, no whole number of MiB, or too little or too much.
    """
    least, most = f"{MIN_RAM_MIB / MIB_PER_GB:g}", MAX_RAM_MIB // MIB_PER_GB
    try:
        gb = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        gb = math.nan
    if not MIN_RAM_MIB / MIB_PER_GB <= gb <= most:
        raise PydanticCustomError("ram_range", "{text}", {"text": f"is a number of GB from {least} to {most}"})
    mib = Fraction(gb) * MIB_PER_GB
    if mib.denominator != 1:
        text = f"is a number of GB in steps of 1/1024 (1 MiB); {gb:g} GB would be {float(mib):g} MiB"
        raise PydanticCustomError("ram_steps", "{text}", {"text": text})
    return int(mib)


Ram = Annotated[int, BeforeValidator(mib_of)]
"""GB in the body, MiB once it is read."""


def _role(text: str) -> str:
    """The README of the original writes ADMIN and CLIENT."""
    return text.strip().lower()


class Input(Written):
    """Base of bodies."""

    model_config = ConfigDict(extra="ignore")


class NewUser(Input):
    """A user to be made; ``is_superuser`` was always ignored."""

    email: EmailText
    username: Username
    password: Password
    role: Annotated[Line, Field(max_length=64), AfterValidator(_role)] = CLIENT_ROLE


class UserRead(Schema):
    """A user. There is no time of the last change: it is always null."""

    id: int | None
    email: str
    username: str
    is_active: bool
    is_superuser: bool
    created_at: datetime | None
    updated_at: datetime | None = None


class Pending(UserRead):
    """What somebody gets who registers where a mail says how to go on; whether there is an account is not told."""

    message: str


def user_of(record: UserRecord | Mapping[str, Any]) -> UserRead:
    """A user as this API shows it."""
    return UserRead.model_validate(record)


def _wish(value: object) -> DesiredState | None:
    """What somebody wants who sends a status; None of one that was read and cannot be asked for (``error``)."""
    try:
        return wish_of(value) if isinstance(value, str) else _no_status()
    except PydanticCustomError:
        return _no_status()


def _no_status() -> NoReturn:
    raise PydanticCustomError("status", "is running, stopped or suspended")


Status = Annotated[DesiredState | None, BeforeValidator(_wish)]
SUSPENDED = "suspended"


def told_status(row: Mapping[str, Any]) -> str:
    """The status of a VM in this API's words: running, stopped, suspended, or error of one that failed."""
    status = status_of(row)
    return SUSPENDED if status == DesiredState.PAUSED.value else status


class NewVm(Input):
    """A VM to be made; ``ram`` is in MiB once it is read."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
    cores: Cores
    ram: Ram
    disk: Disk
    os: Annotated[str, Field(min_length=1, max_length=100, pattern=TEXT_PATTERN)]
    status: Status


class VmChanges(Input):
    """What to change; a name was never changed here, and is ignored as all that is not named."""

    cores: Cores | None = None
    ram: Ram | None = None
    disk: Disk | None = None
    os: Annotated[str, Field(max_length=100, pattern=TEXT_PATTERN)] | None = None
    status: Status | None = None

    def as_change(self) -> VmChange:
        """The same as clients of ``vms`` say it."""
        return VmChange.model_construct(**{name: getattr(self, name) for name in type(self).model_fields})


class VmRead(BaseModel):
    """A VM."""

    id: int
    owner_id: int
    name: str
    cores: int
    ram: int | float
    disk: int
    os: str
    status: str
    created_at: datetime
    updated_at: datetime


def vm_of(row: Mapping[str, Any]) -> VmRead:
    """A VM as this API shows it: ``name`` is what its owner calls it."""
    same = {name: row[name] for name in ("id", "owner_id", "cores", "os", "created_at", "updated_at")}
    name = row["label"] or row["name"]
    return VmRead(**same, name=name, ram=gb_of(row["memory_mib"]), disk=row["disk_gib"], status=told_status(row))
