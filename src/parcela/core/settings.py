"""All settings of Parcela: one frozen class, read once by a composition root.

The documented table in ``docs/reference/settings.md`` is generated from this class (``parcela settings``).
"""

import difflib
import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from parcela.core.errors import Problem, invalid
from parcela.core.settings_connections import ConnectionSettings
from parcela.core.settings_days import DaySettings
from parcela.core.settings_disks import DiskSettings
from parcela.core.settings_fields import bad_setting as _bad
from parcela.core.settings_fields import networks, split
from parcela.core.settings_fields import setting as _env
from parcela.core.settings_identity import IdentitySettings
from parcela.core.settings_limits import LimitSettings
from parcela.core.settings_members import MemberSettings
from parcela.core.settings_network import NetworkSettings
from parcela.core.settings_observe import ObserveSettings
from parcela.core.settings_older import OlderNames, older_names
from parcela.core.settings_quotas import QuotaSettings
from parcela.core.settings_retention import RetentionSettings
from parcela.core.settings_sign_in import SignInSettings
from parcela.core.settings_sites import SiteSettings
from parcela.core.settings_slices import SliceSettings

FOREIGN_NAMES = frozenset({"PARCELA_TOKEN", "PARCELA_URL", "PARCELA_CONFIG"})
"""``PARCELA_*`` variables that belong to the command-line client, not to the server."""
HELPER_PREFIXES = ("PARCELA_TEST_", "PARCELA_GUEST_DIR")
DATABASES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")
MIN_SECRET_CHARS = 32
MAX_SHOWN_CHARS = 40


class Hypervisor(StrEnum):
    """Provider of the built-in zone. There is no silent change from one to another."""

    LIBVIRT = "libvirt"
    SIMULATED = "simulated"


class AccelerationChoice(StrEnum):
    """Wish of the administrator; KVM is used only when it really boots a guest."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


def default_data_dir() -> Path:
    """``/var/lib/parcela`` for root, ``~/.local/share/parcela`` for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/parcela")
    return Path(os.environ.get("XDG_DATA_HOME", str(Path.home() / ".local/share"))) / "parcela"


class Settings(
    SliceSettings,
    IdentitySettings,
    SignInSettings,
    ObserveSettings,
    LimitSettings,
    ConnectionSettings,
    DaySettings,
    DiskSettings,
    RetentionSettings,
    QuotaSettings,
    SiteSettings,
    NetworkSettings,
    MemberSettings,
):
    """Settings; units are in the names. Unknown ``PARCELA_*`` variables and bad values stop the start."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    data_dir: Path = _env("PARCELA_DATA_DIR", default_data_dir, "Folder of the SQLite file, images and VM disks.")
    database_url: str = _env(
        "DATABASE_URL",
        "",
        "SQLAlchemy URL: sqlite, postgresql or mysql/mariadb. Empty: a SQLite file in the data folder.",
    )
    database_pool_size: int = _env(
        "PARCELA_DATABASE_POOL_SIZE",
        0,
        "Database connections of a process for reading, and as many for writing. 0: four; on SQLite as many for "
        "reading as there are processors, two to four.",
        ge=0,
        le=200,
    )
    redis_url: SecretStr | None = _env(
        "REDIS_URL",
        None,
        "redis:// or rediss:// address for the cache, sessions, rate limits and events between processes. Empty: in "
        "process.",
    )
    mongo_url: SecretStr | None = _env(
        "MONGO_URL",
        None,
        "mongodb:// address, with the database's name, for maintenance records and the activity log. Empty: tables of "
        "the relational database.",
    )
    listen_host: str = _env("PARCELA_HOST", "127.0.0.1", "Address the server listens on.")
    listen_port: int = _env("PARCELA_PORT", 8000, "TCP port of the server.", ge=1, le=65535)
    admin_email: str = _env("PARCELA_ADMIN_EMAIL", "admin@parcela.local", "E-mail address of the first administrator.")
    admin_password: SecretStr | None = _env(
        "PARCELA_ADMIN_PASSWORD", None, "Password of the first administrator; generated and printed once when empty."
    )
    secret_key: SecretStr | None = _env(
        "PARCELA_SECRET_KEY",
        None,
        "Key that signs tokens, at least 32 characters; generated into the data folder when empty.",
    )
    production: bool = _env("PARCELA_PRODUCTION", False, "Refuse to start with a weak or generated secret.")
    hypervisor: Hypervisor = _env(
        "PARCELA_HYPERVISOR", Hypervisor.LIBVIRT, "Provider of the built-in zone: libvirt or simulated."
    )
    libvirt_uri: str = _env(
        "PARCELA_LIBVIRT_URI", "", "qemu:///system or qemu:///session. Empty: system for root, session for others."
    )
    acceleration: AccelerationChoice = _env(
        "PARCELA_ACCELERATION",
        AccelerationChoice.AUTO,
        "What VMs run on: auto tries KVM with a guest and falls back to tcg (emulation), and says which it is.",
    )
    guest_dir: Path = _env("PARCELA_GUEST_DIR", lambda: Path(".cache/guest"), "Folder with the built bundled guest.")
    simulated_hosts: int = _env(
        "PARCELA_SIMULATED_HOSTS", 3, "Number of hosts of the simulated provider.", ge=1, le=1000
    )
    access_token_ttl_s: int = _env(
        "PARCELA_ACCESS_TOKEN_TTL_S", 3600, "Life of an access token in seconds.", ge=60, le=86400
    )
    refresh_token_ttl_s: int = _env(
        "PARCELA_REFRESH_TOKEN_TTL_S", 1209600, "Life of a refresh token in seconds.", ge=300, le=7776000
    )
    report_timeout_s: int = _env(
        "PARCELA_REPORT_TIMEOUT_S", 60, "Seconds that writing a report as a file may take.", ge=1, le=600
    )
    quota_vcpus: int = _env(
        "PARCELA_QUOTA_VCPUS", 64, "vCPUs of a user who has no quota of their own; 0 for no limit.", ge=0, le=1000000
    )
    quota_memory_mib: int = _env(
        "PARCELA_QUOTA_MEMORY_MIB", 131072, "Memory in MiB of such a user; 0 for no limit.", ge=0, le=2**40
    )
    quota_disk_gib: int = _env(
        "PARCELA_QUOTA_DISK_GIB", 1000, "Disk in GiB of such a user; 0 for no limit.", ge=0, le=2**40
    )
    quota_vms: int = _env("PARCELA_QUOTA_VMS", 100, "VMs of such a user; 0 for no limit.", ge=0, le=1000000)
    quota_slices: int = _env(
        "PARCELA_QUOTA_SLICES", 20, "Slices on hosts of such a user; 0 for no limit.", ge=0, le=1000000
    )
    max_upload_bytes: int = _env("PARCELA_MAX_UPLOAD_BYTES", 21474836480, "Largest image file in bytes.", ge=1048576)
    max_body_bytes: int = _env(
        "PARCELA_MAX_BODY_BYTES", 2097152, "Largest request body in bytes, image uploads excepted.", ge=65536
    )
    max_attachment_bytes: int = _env(
        "PARCELA_MAX_ATTACHMENT_BYTES",
        10485760,
        "Largest photo of a machine or file attached to its maintenance, in bytes.",
        ge=65536,
        le=1073741824,
    )
    boot_timeout_s: int = _env(
        "PARCELA_BOOT_TIMEOUT_S", 300, "Seconds a guest may take to say that it is ready.", ge=10, le=3600
    )
    shutdown_timeout_s: int = _env(
        "PARCELA_SHUTDOWN_TIMEOUT_S", 30, "Seconds between the ACPI power button and pulling the plug.", ge=1, le=600
    )
    boots_per_host: int = _env(
        "PARCELA_BOOTS_PER_HOST", 0, "Guests booting at once on a host; 0 means its processors plus one.", ge=0, le=1000
    )
    sweep_interval_s: float = _env(
        "PARCELA_SWEEP_INTERVAL_S", 5.0, "Seconds between two runs of the reconcilers.", ge=0.1, le=3600
    )
    lease_ttl_s: float = _env(
        "PARCELA_LEASE_TTL_S",
        30.0,
        "Seconds after which an operation whose worker is silent is taken over.",
        ge=1,
        le=600,
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = _env(
        "PARCELA_CORS_ORIGINS", tuple, "Origins that may call the API from a browser, comma-separated."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = _env(
        "PARCELA_TRUSTED_PROXIES",
        tuple,
        "Addresses of reverse proxies whose X-Forwarded-For, -Proto and -Host are believed, comma-separated.",
    )
    log_level: str = _env(
        "PARCELA_LOG_LEVEL", "info", "Log lines of this weight and above.", pattern="^(debug|info|warning|error)$"
    )
    log_json: bool = _env("PARCELA_LOG_JSON", False, "Log lines as JSON.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then ``.env``; no secret files."""
        del settings_cls, file_secret_settings
        return init_settings, env_settings, dotenv_settings

    @field_validator("cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split(value)

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and ("://" not in value or value.partition(":")[0].partition("+")[0] not in DATABASES):
            raise _bad("must be an address that begins with sqlite://, postgresql://, mysql:// or mariadb://")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return networks(value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            address = urlsplit(part)
            if part != "*" and (address.scheme not in {"http", "https"} or not address.netloc or address.path):
                raise _bad(f"must be origins such as https://lab.example, but '{part}' is none")
        return value

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_SECRET_CHARS:
            raise _bad(f"must have at least {MIN_SECRET_CHARS} characters")
        return value

    @field_validator("production")
    @classmethod
    def _own_secret(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("secret_key", "") is None:  # missing there: it has a problem of its own
            raise _bad("needs PARCELA_SECRET_KEY (at least 32 characters, the same for all replicas)")
        return value

    @property
    def resolved_database_url(self) -> str:
        """The database URL with the default filled in."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'parcela.db'}"

    @property
    def server_name(self) -> str:
        """Name of this replica, with the default filled in."""
        return self.server_id or socket.gethostname()

    @property
    def public_server_id(self) -> str:
        """Id of this replica for everybody: the configured one, or a stable one that does not tell the host name."""
        key = self.secret_key.get_secret_value() if self.secret_key else str(self.data_dir)
        return self.server_id or "server-" + hashlib.sha256(f"{key}\0{socket.gethostname()}".encode()).hexdigest()[:8]

    @property
    def registration_open(self) -> bool:
        """Whether people may register themselves."""
        return not self.is_exposed if self.self_registration is None else self.self_registration

    @property
    def is_exposed(self) -> bool:
        """Whether others than this machine can reach the server, as far as the settings tell."""
        is_local = self.listen_host == "localhost" or _is_loopback(self.listen_host)
        return self.production or not is_local or bool(self.trusted_proxies or self.public_url)

    @property
    def resolved_libvirt_uri(self) -> str:
        """The libvirt URI with the default filled in."""
        return self.libvirt_uri or ("qemu:///system" if os.geteuid() == 0 else "qemu:///session")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def env_name(field_name: str) -> str:
    """Environment variable of a field."""
    return str(Settings.model_fields[field_name].validation_alias)


def allowed_values(field_name: str) -> str:
    """What a setting may be, e.g. ``a whole number from 1 to 65535``; "" for free text."""
    field = Settings.model_fields[field_name]
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _one_of([member.value for member in kind])
    if kind is bool:
        return "true or false"
    if field_name == "log_level":
        return _one_of(["debug", "info", "warning", "error"])
    if kind is int or kind is float:
        least = _limit(field.metadata, "ge")
        most = _limit(field.metadata, "le")
        number = "a whole number" if kind is int else "a number"
        return f"{number} from {least} to {most}" if most is not None else f"{number}, at least {least}"
    return ""


def _limit(metadata: list[Any], name: str) -> Any:
    return next((getattr(item, name) for item in metadata if hasattr(item, name)), None)


def _one_of(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _problem(error: ErrorDetails) -> Problem:
    """One bad value: which variable, what is wrong, what is allowed. Secrets and addresses are not repeated."""
    variable = str(error["loc"][0]) if error["loc"] else "settings"
    name = next((name for name in Settings.model_fields if env_name(name) == variable), "")
    if error["type"] == "bad_setting" or not name:
        return Problem(variable, f"It {error['msg']}.", "bad_setting")
    allowed = allowed_values(name)
    if not allowed:
        return Problem(variable, f"{error['msg']}.", "bad_setting")
    shown = str(error["input"])[:MAX_SHOWN_CHARS]
    return Problem(variable, f"It is '{shown}', but must be {allowed}.", "bad_setting")


def _unknown(environ: Mapping[str, str]) -> list[Problem]:
    """Variables that look like settings and are none: spelling mistakes, mostly."""
    known = {env_name(name) for name in Settings.model_fields} | FOREIGN_NAMES
    found = {name for name in {*environ, *variables_in_file()} if name.startswith("PARCELA_")} - known
    return [
        Problem(name, f"There is no such setting. {_hint(name, known)}", "unknown_setting")
        for name in sorted(found)
        if not name.startswith(HELPER_PREFIXES)
    ]


def _hint(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
    return f"Is {near[0]} meant?" if near else "'parcela settings' prints all there are."


def variables_in_file() -> dict[str, str]:
    """Variables of ``.env`` in the working folder, by their names in capitals."""
    return {str(name).upper(): value or "" for name, value in DotEnvSettingsSource(Settings).env_vars.items()}


def read_older_names(environ: Mapping[str, str] | None = None) -> OlderNames:
    """What variables of the older systems come to in the environment and ``.env``."""
    environ, in_file = os.environ if environ is None else environ, variables_in_file()
    folder = environ.get("PARCELA_DATA_DIR") or in_file.get("PARCELA_DATA_DIR")
    return older_names(environ, in_file, Path(folder) if folder else default_data_dir())


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment and ``.env``; what they do not set, variables of the older systems may.

    Raises:
        ParcelaError: kind ``invalid``, with one problem per bad or unknown variable.
    """
    older = read_older_names(environ)
    problems = [*_unknown(os.environ if environ is None else environ), *older.problems]
    older_values: dict[str, Any] = dict(older.values)
    try:
        settings = Settings(**older_values)
    except ValidationError as exc:
        found = [_problem(error) for error in exc.errors()]
        problems += [replace(one, where=", ".join(older.sources.get(one.where, (one.where,)))) for one in found]
        settings = None
    if problems or settings is None:
        raise invalid("settings_invalid", "Parcela cannot start with these settings.", *problems)
    return settings
