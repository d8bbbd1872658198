"""Settings of how much one user or project may have; vCPUs, memory, disks, VMs and deployed slices are elsewhere."""

from pydantic_settings import BaseSettings

from parcela.core.settings_fields import setting as _env

MOST = 2**40


class QuotaSettings(BaseSettings):
    """A part of ``Settings``; 0 is no limit, everywhere."""

    quota_images_gib: int = _env(
        "PARCELA_QUOTA_IMAGES_GIB",
        100,
        "Bytes, in GiB, of the images of a user who has no quota of their own: each counted with its copies on hosts, "
        "and uploads under way with what they have announced; 0 for no limit.",
        ge=0,
        le=MOST,
    )
    quota_project_images_gib: int = _env(
        "PARCELA_QUOTA_PROJECT_IMAGES_GIB",
        100,
        "The same for the images of a project that has no quota of images of its own; they do not count for those who "
        "uploaded them. 0 for no limit.",
        ge=0,
        le=MOST,
    )
    quota_templates: int = _env("PARCELA_QUOTA_TEMPLATES", 500, "Templates of a user; 0 for no limit.", ge=0, le=MOST)
    quota_templates_mib: int = _env(
        "PARCELA_QUOTA_TEMPLATES_MIB",
        256,
        "Size in MiB of the documents of a user's templates, all kept versions together; 0 for no limit.",
        ge=0,
        le=MOST,
    )
    quota_existing_slices: int = _env(
        "PARCELA_QUOTA_EXISTING_SLICES",
        200,
        "Slices of a user that exist, drafts and stopped ones included; 0 for no limit.",
        ge=0,
        le=MOST,
    )
    quota_personal_tokens: int = _env(
        "PARCELA_QUOTA_PERSONAL_TOKENS", 100, "Personal tokens of a user; 0 for no limit.", ge=0, le=MOST
    )
    quota_sessions: int = _env(
        "PARCELA_QUOTA_SESSIONS",
        100,
        "Open sessions of a user; the login after that ends the oldest ones. 0 for no limit.",
        ge=0,
        le=MOST,
    )
    quota_attachments_gib: int = _env(
        "PARCELA_QUOTA_ATTACHMENTS_GIB",
        20,
        "Size in GiB of the files that a user has attached to machines; 0 for no limit.",
        ge=0,
        le=MOST,
    )
    quota_idempotency_keys: int = _env(
        "PARCELA_QUOTA_IDEMPOTENCY_KEYS",
        10000,
        "Answers kept for the Idempotency-Keys of a user; 0 for no limit.",
        ge=0,
        le=MOST,
    )
    quota_idempotency_answer_bytes: int = _env(
        "PARCELA_QUOTA_IDEMPOTENCY_ANSWER_BYTES",
        4096,
        "Size in bytes of an answer that is kept for an Idempotency-Key. Of a larger one only the id is kept: a repeat "
        "is answered with what was made as it is now, or with 409 idempotency_answer_not_kept. 0 for no limit.",
        ge=0,
        le=MOST,
    )
