"""Settings of what is kept how long, and of how much one user may make.

Every table and folder has its line in ``docs/reference/retention.md``; a test compares the two.
"""

from pydantic import field_validator
from pydantic_settings import BaseSettings

from parcela.core.settings_fields import bad_setting
from parcela.core.settings_fields import setting as _env

LEAST_AUDIT_DAYS = 366
"""Triggers of the database refuse to remove younger entries, whatever the setting says."""


class RetentionSettings(BaseSettings):
    """A part of ``Settings``."""

    retention_sweep_s: float = _env(
        "PARCELA_RETENTION_SWEEP_S",
        3600.0,
        "Seconds between two sweeps that remove rows past their retention; the first comes ten minutes after the "
        "start at the latest.",
        ge=60,
        le=86400,
    )
    retention_events_days: int = _env(
        "PARCELA_RETENTION_EVENTS_DAYS",
        365,
        "Days that events are kept. Clients that resume from an older one are answered 410 events_gone.",
        ge=1,
        le=36500,
    )
    retention_events_rows: int = _env(
        "PARCELA_RETENTION_EVENTS_ROWS", 2000000, "Events kept at most; the oldest are removed first.", ge=10000
    )
    retention_operations_days: int = _env(
        "PARCELA_RETENTION_OPERATIONS_DAYS",
        365,
        "Days that finished operations are kept with their steps.",
        ge=1,
        le=36500,
    )
    retention_deleted_days: int = _env(
        "PARCELA_RETENTION_DELETED_DAYS",
        90,
        "Days that the rows of deleted VMs and destroyed slices are kept.",
        ge=1,
        le=36500,
    )
    retention_history_rows: int = _env(
        "PARCELA_RETENTION_HISTORY_ROWS",
        200000,
        "Rows of deleted VMs, of destroyed slices and of finished operations, each, that are kept at most; the oldest "
        "are removed first.",
        ge=1000,
    )
    retention_audit_days: int = _env(
        "PARCELA_RETENTION_AUDIT_DAYS",
        1096,
        "Days that entries of the audit trail are kept, at least 366; 0 for ever.",
        ge=0,
        le=36500,
    )
    retention_refusals_days: int = _env(
        "PARCELA_RETENTION_REFUSALS_DAYS", 365, "Days that counts of refused requests are kept.", ge=1, le=36500
    )
    retention_deliveries_days: int = _env(
        "PARCELA_RETENTION_DELIVERIES_DAYS", 30, "Days that ended deliveries of webhooks are kept.", ge=1, le=3650
    )
    retention_idempotency_hours: int = _env(
        "PARCELA_RETENTION_IDEMPOTENCY_HOURS",
        24,
        "Hours that the answer to an Idempotency-Key is kept.",
        ge=1,
        le=720,
    )
    retention_tokens_days: int = _env(
        "PARCELA_RETENTION_TOKENS_DAYS",
        30,
        "Days that revoked tokens without an end are kept; those with an end go when it is reached.",
        ge=1,
        le=3650,
    )
    retention_mails_days: int = _env(
        "PARCELA_RETENTION_MAILS_DAYS", 30, "Days that mails that could not be sent are kept.", ge=1, le=3650
    )
    image_copies_kept_s: float = _env(
        "PARCELA_IMAGE_COPIES_KEPT_S",
        3600.0,
        "Seconds after its last use that the copy of a deleted image stays on a host at least.",
        ge=600,
        le=31536000,
    )
    template_versions_kept: int = _env(
        "PARCELA_TEMPLATE_VERSIONS_KEPT",
        50,
        "Newest versions of a template that are kept, besides those that existing slices were made from.",
        ge=1,
        le=10000,
    )

    @field_validator("retention_audit_days")
    @classmethod
    def _old_enough(cls, value: int) -> int:
        if 0 < value < LEAST_AUDIT_DAYS:
            raise bad_setting(f"must be 0 or at least {LEAST_AUDIT_DAYS}")
        return value
