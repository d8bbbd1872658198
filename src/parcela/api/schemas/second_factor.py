"""Second factors and sessions."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from parcela.api.schemas.common import Body, Schema

Code = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="Six digits of the authenticator app, or a recovery code",
        examples=["492039"],
    ),
]
OldPassword = Annotated[
    str, Field(max_length=1000, description="Your password; anything when you have none (single sign-on only)")
]


class SecondFactorBegin(Body):
    """Proof that it is you."""

    model_config = ConfigDict(json_schema_extra={"example": {"password": "correct horse battery"}})

    password: OldPassword


class SecondFactorCode(Body):
    """A code."""

    model_config = ConfigDict(json_schema_extra={"example": {"code": "492039"}})

    code: Code


class SecondFactorDisable(Body):
    """Proof that it is you, twice."""

    model_config = ConfigDict(json_schema_extra={"example": {"password": "correct horse battery", "code": "492039"}})

    password: OldPassword
    code: Code


class SecondFactorRead(Schema):
    """Your second factor."""

    enabled: bool = Field(description="A login needs a code")
    confirmed_at: datetime | None
    recovery_codes_left: int = Field(examples=[10])


class EnrolmentRead(Schema):
    """What the authenticator app must learn; shown this once."""

    secret: str = Field(description="Base32, to be typed in", examples=["JBSWY3DPEHPK3PXP..."])
    uri: str = Field(description="The same as an address", examples=["otpauth://totp/Parcela:ana%40lab.example?..."])
    qr_svg: str = Field(description="The address as a QR code, SVG", examples=["<svg ...>"])


class RecoveryCodesRead(Schema):
    """Codes for the day the phone is lost, each good once; shown this once."""

    recovery_codes: list[str] = Field(examples=[["abcd-efgh-jkmn-pqrs"]])


class SessionRead(Schema):
    """One login that is still open."""

    id: str = Field(examples=["5f0c3b9a5f0c3b9a5f0c3b9a5f0c3b9a"])
    current: bool = Field(description="It is the one you ask with")
    started_at: datetime
    renewed_at: datetime
    last_used_at: datetime | None = Field(description="To about a minute")
    expires_at: datetime = Field(description="Unless it is renewed before")
    ip: str = Field(description="Address at the login or the last renewal", examples=["192.0.2.7"])
    agent: str = Field(description="What the client calls itself", examples=["parcela-cli"])
