"""Password resets."""

from typing import Annotated

from pydantic import ConfigDict, Field

from parcela.api.schemas.common import Body
from parcela.api.schemas.users import KeepTokens, Password


class PasswordResetRequest(Body):
    """Whose password."""

    model_config = ConfigDict(json_schema_extra={"example": {"email": "ana@lab.example"}})

    email: Annotated[str, Field(min_length=1, max_length=254, description="E-mail address or username")]


class PasswordResetComplete(Body):
    """The token of the mail, and the new password."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"token": "pZ0c...", "new_password": "correct horse battery"}}
    )

    token: Annotated[str, Field(min_length=1, max_length=200)]
    new_password: Password
    keep_personal_tokens: KeepTokens = False
