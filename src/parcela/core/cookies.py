"""Names of cookies that both edges know, and at which addresses a cookie says who asks."""

SESSION_COOKIE = "parcela_session"
"""The access token of a session that was opened in a browser: by the login page, or by the older API ``cloud``."""
REFRESH_COOKIE, REFRESH_PATH = "parcela_refresh", "/login"
"""The refresh token of such a session, which browsers send to the login page alone: it renews the session there."""
DEVICE_COOKIE = "parcela_device"
"""Accounts that have signed in with this browser, sealed: there they are exempt from the failures of strangers."""
SIGLAB_COOKIE = "parcela_siglab"
"""The access token of a session that a page of the older API ``siglab`` has opened."""
VMS_SOCKETS_COOKIE = "parcela_vms"
"""The access token of a session that a page of the older API ``vms`` has opened, for its WebSockets alone."""
SIGLAB_PREFIXES = ("/api/auth", "/api/maquinas", "/api/mantenimiento", "/api/mantenimientos", "/api/sistema")
"""Beginnings of the addresses at which that cookie, and no other, says who asks."""


def cookie_of(path: str) -> str:
    """Name of the cookie that says who asks at an address; "" where none does."""
    if path.startswith("/ws/"):
        return VMS_SOCKETS_COOKIE
    if not path.startswith("/api/"):
        return SESSION_COOKIE
    is_siglab = any(path.startswith(f"{prefix}/") for prefix in SIGLAB_PREFIXES)
    return SIGLAB_COOKIE if is_siglab else ""
