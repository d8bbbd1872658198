"""Settings of how much one user or address may ask."""

import limits
from pydantic import field_validator
from pydantic_settings import BaseSettings

from parcela.core.settings_fields import bad_setting
from parcela.core.settings_fields import setting as _env

OFF = "off"


class LimitSettings(BaseSettings):
    """A part of ``Settings``."""

    rate_limit: str = _env(
        "PARCELA_RATE_LIMIT",
        "12000/minute",
        "Requests of one user, with all of their tokens and sessions together, such as 100/second or 5000/hour; off "
        "for no limit.",
    )
    rate_limit_anonymous: str = _env(
        "PARCELA_RATE_LIMIT_ANONYMOUS",
        "3000/minute",
        "Requests from one address without a good token, in the same form; IPv6 counts by /64, 4 times as "
        "many by /56 and 16 times by /48.",
    )

    @field_validator("rate_limit", "rate_limit_anonymous")
    @classmethod
    def _is_rate(cls, value: str) -> str:
        if value == OFF:
            return value
        try:
            amount = limits.parse(value).amount
        except ValueError:
            amount = 0
        if amount < 1:
            raise bad_setting("must be a rate such as 600/minute or 20/second, or off")
        return value
