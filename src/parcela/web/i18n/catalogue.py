"""Words in English and Spanish: one JSON file per language, the same keys in both."""

import json
from collections.abc import Iterator, Mapping
from importlib import resources

DEFAULT = "en"
LOCALES = (DEFAULT, "es")
NAMES = {"en": "English", "es": "Español"}


class Translator:
    """The texts of one language."""

    def __init__(self, locale: str, texts: Mapping[str, str]) -> None:
        """``locale`` goes to the ``lang`` attribute."""
        self.locale = locale
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with its ``{values}`` filled in; a key that is missing is a mistake of ours."""
        return self._texts[key].format_map(values) if values else self._texts[key]

    def __contains__(self, key: str) -> bool:
        """Whether there is a text."""
        return key in self._texts

    def n(self, key: str, count: int) -> str:
        """The text for one (``key.one``) or several (``key.other``) things; ``{count}`` is their number."""
        return self(f"{key}.one" if count == 1 else f"{key}.other", count=count)

    def either(self, key: str, fallback: str, **values: object) -> str:
        """The text of a key, or that of another one when there is none."""
        return self(key if key in self else fallback, **values)


def load_translators() -> dict[str, Translator]:
    """All languages."""
    folder = resources.files("parcela.web.i18n")
    return {
        locale: Translator(locale, json.loads((folder / f"{locale}.json").read_text(encoding="utf-8")))
        for locale in LOCALES
    }


def choose_locale(*wishes: str | None, accept_language: str = "") -> str:
    """The first wish that is a language of ours, else the one of ``Accept-Language`` that is wanted most."""
    for wish in wishes:
        if wish in LOCALES:
            return str(wish)
    ranked = sorted(_accepted(accept_language), key=lambda pair: -pair[1])
    return next((tag for tag, quality in ranked if tag in LOCALES and quality > 0), DEFAULT)


def _accepted(header: str) -> Iterator[tuple[str, float]]:
    for part in header[:500].split(","):
        tag, _, quality = part.partition(";q=")
        try:
            yield tag.strip().lower().split("-")[0], float(quality or 1)
        except ValueError:
            continue
