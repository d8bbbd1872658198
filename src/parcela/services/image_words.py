"""From the word for a system that people type (``Ubuntu``, ``CirrOS``, ``tiny``) to an image they may use."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from parcela.core.errors import ParcelaError, Problem, invalid
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.images import visible_to

MAX_NAMED = 20
"""Images that an error names; the others are counted."""
_BETWEEN = re.compile(r"[\s._-]+")


class ImageWords:
    """The images that one caller may use, found by words. Case does not count, nor what stands between the words."""

    def __init__(self, rows: Sequence[Mapping[Any, Any]]) -> None:
        """``rows``: ``id``, ``name``, ``os_type`` and ``os_version`` of images; the highest id is the newest."""
        newest_first = sorted(rows, key=lambda row: -int(row["id"]))
        self.names = tuple(sorted(str(row["name"]) for row in rows))
        self._by_name = {row["name"].casefold(): str(row["name"]) for row in reversed(newest_first)}
        self._exact = frozenset(self.names)
        self._texts = [(str(row["name"]), _texts(row)) for row in newest_first]

    @classmethod
    async def load(cls, uow: ReadUnitOfWork, caller: Caller) -> Self:
        """Those of a caller, as they are now."""
        return cls(await uow.images.usable(visible_to(caller)))

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

    def image(self, word: str, where: str = "body.os") -> str:
        """The same; ``where`` is the place of the word, for the error.

        Raises:
            ParcelaError: kind ``invalid``, code ``unknown_image``: it names the images there are.
        """
        found = self.find(word)
        if found is None:
            raise self._unknown(word, where)
        return found

    def means(self, word: str, name: str) -> bool:
        """Whether a word may mean the image of this name, also where another one is newer or where it has gone."""
        if self.find(word) == name or _folded(name).startswith(_folded(word)):
            return True
        texts = next((texts for known, texts in self._texts if known == name), ())
        return any(text.startswith(_folded(word)) for text in texts)

    def _unknown(self, word: str, where: str) -> ParcelaError:
        text = f"There is no image '{word}' that you may use; "
        if self.names:
            rest = len(self.names) - MAX_NAMED
            text += f"there are: {', '.join(self.names[:MAX_NAMED])}{f' and {rest} more' if rest > 0 else ''}."
        else:
            text += "there is none at all."
        return invalid("unknown_image", text, Problem(where, text, "unknown_image"))


def _folded(text: str) -> str:
    return _BETWEEN.sub(" ", text.casefold()).strip()


def _texts(row: Mapping[Any, Any]) -> tuple[str, ...]:
    system, version = row["os_type"], row["os_version"]
    return tuple(_folded(text) for text in (row["name"], system, version, f"{system} {version}"))
