"""Settings of the names under which Parcela is reached."""

import re
from typing import Annotated

from pydantic import field_validator
from pydantic_settings import BaseSettings, NoDecode

from parcela.core.settings_fields import bad_setting, split
from parcela.core.settings_fields import setting as _env

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.IGNORECASE)


class SiteSettings(BaseSettings):
    """A part of ``Settings``."""

    server_id: str = _env(
        "PARCELA_SERVER_ID",
        "",
        "Name of this replica in X-Server-Id and in metrics. Empty: the name of the machine in metrics, and an "
        "opaque id in X-Server-Id, which strangers read too.",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
    )
    public_url: str = _env(
        "PARCELA_PUBLIC_URL",
        "",
        "Address under which people reach Parcela, such as https://lab.example; for links in mails (none are sent "
        "without it), single sign-on and labels. Requests of browsers under other host names are refused then.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = _env(
        "PARCELA_ALLOWED_HOSTS",
        tuple,
        "Further host names, comma-separated, under which browsers reach Parcela, besides that of PARCELA_PUBLIC_URL, "
        "IP addresses, localhost and names without a dot.",
    )

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return split(value)

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            if not NAME.fullmatch(part):
                raise bad_setting(f"must be host names separated by commas, without scheme and port, not '{part}'")
        return value
