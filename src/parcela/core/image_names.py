"""From the word for a system that people type (``Ubuntu``, ``CirrOS``, ``tiny``) to the name of an image."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_BETWEEN = re.compile(r"[\s._-]+")


class ImageNames:
    """Images found by words. Case does not count, nor what stands between the words."""

    def __init__(self, rows: Sequence[Mapping[Any, Any]]) -> None:
        """``rows``: ``id``, ``name``, ``os_type`` and ``os_version`` of images; the highest id is the newest."""
        newest_first = sorted(rows, key=lambda row: -int(row["id"]))
        self.names = tuple(sorted(str(row["name"]) for row in rows))
        self._by_name = {row["name"].casefold(): str(row["name"]) for row in reversed(newest_first)}
        self._exact = frozenset(self.names)
        self._texts = [(str(row["name"]), _texts(row)) for row in newest_first]

    def find(self, word: str) -> str | None:
        """The name of the image that a word means, or None.

        The exact name goes first, then a name in another case; then the newest image whose name, system or version of
        the system begins with the word.
        """
        if word in self._exact:
            return word
        same, start = self._by_name.get(word.strip().casefold()), _folded(word)
        if same is not None or not start:
            return same
        return next((name for name, texts in self._texts if any(text.startswith(start) for text in texts)), None)

    def means(self, word: str, name: str) -> bool:
        """Whether a word may mean the image of this name, also where another one is newer or where it has gone."""
        if self.find(word) == name or _folded(name).startswith(_folded(word)):
            return True
        texts = next((texts for known, texts in self._texts if known == name), ())
        return any(text.startswith(_folded(word)) for text in texts)


def _folded(text: str) -> str:
    return _BETWEEN.sub(" ", text.casefold()).strip()


def _texts(row: Mapping[Any, Any]) -> tuple[str, ...]:
    system, version = row["os_type"], row["os_version"]
    return tuple(_folded(text) for text in (row["name"], system, version, f"{system} {version}"))
