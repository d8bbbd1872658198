"""The older API ``cloud``: a session in a cookie, templates in its own document, slices and deployments."""
