"""Settings of signing in and registering: limits on guessing, known devices. Part of ``Settings``."""

from pydantic_settings import BaseSettings

from parcela.core.settings_fields import setting as _env


class SignInSettings(BaseSettings):
    """Limits on guessing, known devices, registration."""

    login_attempts: int = _env(
        "PARCELA_LOGIN_ATTEMPTS",
        5,
        "Failed logins at an account from one address, device or session before further ones are delayed; of all "
        "strangers together four times as many.",
        ge=1,
        le=100,
    )
    login_attempts_per_address: int = _env(
        "PARCELA_LOGIN_ATTEMPTS_PER_ADDRESS",
        30,
        "Failed logins of strangers per client address (IPv6: per /64; 4 times as many per /56, 16 times per /48) "
        "before further ones are delayed.",
        ge=1,
        le=10000,
    )
    login_delay_s: float = _env(
        "PARCELA_LOGIN_DELAY_S", 5.0, "The first delay in seconds; each further failure doubles it.", ge=0.1, le=3600
    )
    login_lock_s: int = _env(
        "PARCELA_LOGIN_LOCK_S",
        300,
        "The longest delay in seconds, and the time after which as many failures as are free are forgotten.",
        ge=1,
        le=86400,
    )
    known_device_days: int = _env(
        "PARCELA_KNOWN_DEVICE_DAYS",
        90,
        "Days for which a browser or address from which somebody has signed in is exempt from strangers' failures.",
        ge=1,
        le=400,
    )
    known_addresses_per_account: int = _env(
        "PARCELA_KNOWN_ADDRESSES", 20, "Such addresses that are kept for one account.", ge=1, le=1000
    )
    strangers_waiting: int = _env(
        "PARCELA_STRANGERS_WAITING",
        100,
        "Logins from unknown devices, registrations and resets that may wait for their password to be hashed; more are "
        "answered 429.",
        ge=1,
        le=10000,
    )
    self_registration: bool | None = _env(
        "PARCELA_SELF_REGISTRATION",
        None,
        "Whether anybody may make an account of their own, always with the role client, by the older APIs. Empty: only "
        "while nobody but this machine can reach the server (PARCELA_HOST is a loopback address, and neither "
        "PARCELA_TRUSTED_PROXIES nor PARCELA_PUBLIC_URL nor PARCELA_PRODUCTION is set).",
    )
    registrations_per_address: int = _env(
        "PARCELA_REGISTRATIONS_PER_ADDRESS",
        60,
        "Accounts that strangers may make for themselves from one address in an hour (IPv6 as above).",
        ge=1,
        le=100000,
    )
    registrations_per_hour: int = _env(
        "PARCELA_REGISTRATIONS_PER_HOUR", 300, "The same from all addresses together.", ge=1, le=100000
    )
