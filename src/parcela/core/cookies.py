"""Names of cookies that both edges know."""

SESSION_COOKIE = "parcela_session"
"""The access token of a session that was opened in a browser: by the login page, or by the older API ``cloud``."""
DEVICE_COOKIE = "parcela_device"
"""Accounts that have signed in with this browser, sealed: there they are exempt from the failures of strangers."""
