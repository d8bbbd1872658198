"""Settings of invitations into projects."""

from pydantic_settings import BaseSettings

from parcela.core.settings_fields import setting as _env


class MemberSettings(BaseSettings):
    """A part of ``Settings``."""

    invitations_per_project: int = _env(
        "PARCELA_INVITATIONS_PER_PROJECT", 500, "Invitations of a project that may be open at a time.", ge=1, le=1000
    )
    invitations_per_hour: int = _env(
        "PARCELA_INVITATIONS_PER_HOUR",
        500,
        "Invitations that may be sent for one project within an hour; the same address is sent at most one mail a day.",
        ge=1,
        le=100_000,
    )
    invitation_days: int = _env(
        "PARCELA_INVITATION_DAYS", 30, "Days after which an invitation that nobody accepted ends.", ge=1, le=365
    )
