"""Settings of what watches Parcela and of what Parcela tells others: metrics and webhooks."""

import ssl
from pathlib import Path
from typing import Annotated

from pydantic import field_validator
from pydantic_settings import BaseSettings, NoDecode

from parcela.core.settings_fields import bad_setting, networks, split
from parcela.core.settings_fields import setting as _env


class ObserveSettings(BaseSettings):
    """A part of ``Settings``."""

    metrics_allowed: Annotated[tuple[str, ...], NoDecode] = _env(
        "PARCELA_METRICS_ALLOWED",
        lambda: ("127.0.0.0/8", "::1/128"),
        "Addresses or networks that may read /metrics without a token, comma-separated; others need system:read.",
    )
    webhook_allowed_networks: Annotated[tuple[str, ...], NoDecode] = _env(
        "PARCELA_WEBHOOK_ALLOWED_NETWORKS",
        tuple,
        "Networks of your own that webhooks may reach, comma-separated. Without: public addresses only.",
    )
    webhook_plain_http: bool = _env("PARCELA_WEBHOOK_PLAIN_HTTP", False, "Let webhooks use http:// besides https://.")
    webhook_ca_file: Path | None = _env(
        "PARCELA_WEBHOOK_CA_FILE",
        None,
        "PEM file with certificate authorities of your own that webhooks trust besides the public ones.",
    )
    webhook_timeout_s: float = _env(
        "PARCELA_WEBHOOK_TIMEOUT_S", 10.0, "Seconds a receiver may take for one delivery.", ge=1, le=60
    )
    webhook_attempts: int = _env(
        "PARCELA_WEBHOOK_ATTEMPTS", 8, "Attempts per delivery before it counts as failed.", ge=1, le=20
    )
    webhook_disable_after_days: int = _env(
        "PARCELA_WEBHOOK_DISABLE_AFTER_DAYS",
        5,
        "Days without one successful delivery after which a failing webhook is switched off.",
        ge=1,
        le=90,
    )
    webhooks_per_user: int = _env("PARCELA_WEBHOOKS_PER_USER", 20, "Webhooks a user may have.", ge=1, le=1000)

    @field_validator("webhook_ca_file")
    @classmethod
    def _holds_authorities(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        try:
            found = ssl.create_default_context(cafile=value).cert_store_stats()["x509_ca"]
        except ssl.SSLError as exc:
            raise bad_setting(f"must be a PEM file with certificates, but '{value}' holds none") from exc
        except OSError as exc:
            raise bad_setting(f"must be a file that can be read, but '{value}' cannot ({exc.strerror})") from exc
        if not found:
            raise bad_setting(f"must hold the certificate of an authority; those in '{value}' are none")
        return value

    @field_validator("metrics_allowed", "webhook_allowed_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        return split(value)

    @field_validator("metrics_allowed", "webhook_allowed_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return networks(value)
