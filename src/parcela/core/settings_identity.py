"""Settings of who somebody is: password rules, mail, single sign-on. Part of ``Settings``."""

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

from parcela.core.settings_fields import bad_setting, split
from parcela.core.settings_fields import setting as _env

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class IdentitySettings(BaseSettings):
    """Password rules, mail, single sign-on."""

    password_min_chars: int = _env(
        "PARCELA_PASSWORD_MIN_CHARS", 8, "Length of a new password in characters, at least.", ge=8, le=64
    )
    smtp_host: str = _env(
        "PARCELA_SMTP_HOST", "", "Mail server that takes our mails. Empty: no mails, and no password reset by mail."
    )
    smtp_port: int = _env("PARCELA_SMTP_PORT", 587, "TCP port of the mail server.", ge=1, le=65535)
    smtp_security: SmtpSecurity = _env(
        "PARCELA_SMTP_SECURITY",
        SmtpSecurity.STARTTLS,
        "starttls: begin in clear and insist on TLS; tls: TLS from the first byte; none: only for this machine.",
    )
    smtp_user: str = _env("PARCELA_SMTP_USER", "", "Account at the mail server. Empty: no login there.")
    smtp_password: SecretStr | None = _env("PARCELA_SMTP_PASSWORD", None, "Password of that account.")
    smtp_from: str = _env("PARCELA_SMTP_FROM", "parcela@localhost", "Sender of our mails.")
    oidc_issuer: str = _env(
        "PARCELA_OIDC_ISSUER",
        "",
        "Issuer of the OpenID Connect provider, such as https://login.example/realms/lab. Empty: no single sign-on.",
    )
    oidc_client_id: str = _env("PARCELA_OIDC_CLIENT_ID", "", "Our client id at the provider.", validate_default=True)
    oidc_client_secret: SecretStr | None = _env(
        "PARCELA_OIDC_CLIENT_SECRET", None, "Our client secret at the provider. Empty: a public client (PKCE alone)."
    )
    oidc_scopes: str = _env("PARCELA_OIDC_SCOPES", "openid email profile", "What we ask for, separated by blanks.")
    oidc_label: str = _env("PARCELA_OIDC_LABEL", "Single sign-on", "Name of the provider on the sign-in page.")
    oidc_username_claim: str = _env(
        "PARCELA_OIDC_USERNAME_CLAIM", "preferred_username", "Claim from which the username of a new account is made."
    )
    oidc_email_claim: str = _env("PARCELA_OIDC_EMAIL_CLAIM", "email", "Claim with the e-mail address.")
    oidc_name_claim: str = _env("PARCELA_OIDC_NAME_CLAIM", "name", "Claim with the full name.")
    oidc_role_claim: str = _env("PARCELA_OIDC_ROLE_CLAIM", "groups", "Claim with the groups of the person.")
    oidc_role_map: Annotated[tuple[str, ...], NoDecode] = _env(
        "PARCELA_OIDC_ROLE_MAP",
        tuple,
        "Pairs group=role, comma-separated, the first that fits wins. With it the provider decides the role at every "
        "sign-in (nothing fits: client); empty: roles are given here.",
    )
    oidc_auto_create: bool = _env(
        "PARCELA_OIDC_AUTO_CREATE", False, "Make an account for whoever the provider knows and we do not."
    )

    _split_pairs = field_validator("oidc_role_map", mode="before")(split)

    @field_validator("oidc_role_map")
    @classmethod
    def _pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            group, equals, role = part.rpartition("=")
            if not (equals and group.strip() and role.strip()):
                raise bad_setting(f"must be pairs such as staff=admin separated by commas, but '{part}' is none")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _https(cls, value: str) -> str:
        address = urlsplit(value)
        plain = address.scheme == "http" and address.hostname in LOOPBACK
        if value and not ((address.scheme == "https" or plain) and address.netloc and not address.query):
            raise bad_setting("must be an address that begins with https:// (http:// on this machine only)")
        return value

    @field_validator("oidc_client_id")
    @classmethod
    def _known_client(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("oidc_issuer"):
            raise bad_setting("is needed with PARCELA_OIDC_ISSUER")
        return value

    @property
    def oidc_roles(self) -> tuple[tuple[str, str], ...]:
        """(group, role) of ``oidc_role_map``, in its order."""
        pairs = (part.rpartition("=") for part in self.oidc_role_map)
        return tuple((group.strip(), role.strip()) for group, _, role in pairs)
