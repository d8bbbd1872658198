"""Settings of tests: the defaults, but for what is named as in the environment."""

from typing import Any

from parcela.core.settings import Settings


def settings_of(**named: Any) -> Settings:
    return Settings(_env_file=None, **named)
