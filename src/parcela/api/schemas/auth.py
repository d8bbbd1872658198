"""Logging in."""

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from parcela.api.schemas.common import Body, Schema


class LoginRequest(Body):
    """Who, and the password. ``email`` also takes a username."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"email": "ana@lab.example", "password": "correct horse battery"},
            "anyOf": [{"required": ["email"]}, {"required": ["username"]}],
        }
    )

    email: Annotated[str, Field(min_length=1, max_length=254, description="E-mail address or username")] = ""
    username: Annotated[str, Field(min_length=1, max_length=254, description="Instead of `email`")] = ""
    password: Annotated[str, Field(max_length=1000)]
    totp_code: Annotated[
        str,
        Field(max_length=64, description="Code of the authenticator app, or a recovery code; see `totp_required`"),
    ] = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> "LoginRequest":
        if not self.identifier:
            raise ValueError("'email' or 'username' is needed")
        return self

    @property
    def identifier(self) -> str:
        """What was given of the two."""
        return self.email or self.username


class RefreshRequest(Body):
    """The refresh token of the last login or refresh; it works once."""

    model_config = ConfigDict(json_schema_extra={"example": {"refresh_token": "eyJhbGciOiJIUzI1NiIs..."}})

    refresh_token: Annotated[str, Field(min_length=1, max_length=4096)]


class TokenPairRead(Schema):
    """Tokens of a session."""

    access_token: str = Field(description="For `Authorization: Bearer`", examples=["eyJhbGciOiJIUzI1NiIs..."])
    refresh_token: str = Field(description="For one `POST /token/refresh`", examples=["eyJhbGciOiJIUzI1NiIs..."])
    token_type: str = Field(examples=["bearer"])
    expires_in_s: int = Field(description="Life of the access token in seconds", examples=[3600])
