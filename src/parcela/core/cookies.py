"""Names of cookies that both edges know."""

SESSION_COOKIE = "parcela_session"
"""The access token of a session that was opened in a browser: by the login page, or by the older API ``cloud``."""
