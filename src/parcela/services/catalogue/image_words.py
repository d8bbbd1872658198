"""Images that a caller may use, by the words that older clients send for them."""

from typing import Self

from parcela.core.errors import ParcelaError, Problem, invalid
from parcela.core.image_names import ImageNames
from parcela.core.topology.catalogue import listed
from parcela.repositories.uow import ReadUnitOfWork
from parcela.services.access import Caller
from parcela.services.catalogue.image_rights import visible_to


class ImageWords(ImageNames):
    """The images that one caller may use."""

    @classmethod
    async def load(cls, uow: ReadUnitOfWork, caller: Caller) -> Self:
        """Those of a caller, as they are now."""
        return cls(await uow.images.usable(visible_to(caller)))

    def image(self, word: str, where: str = "body.os") -> str:
        """As ``find``; ``where`` is the place of the word, for the error.

        Raises:
            ParcelaError: kind ``invalid``, code ``unknown_image``: it names the images there are.
        """
        found = self.find(word)
        if found is None:
            raise self._unknown(word, where)
        return found

    def _unknown(self, word: str, where: str) -> ParcelaError:
        text = f"There is no image '{word}' that you may use; {listed(self.names)}"
        return invalid("unknown_image", text, Problem(where, text, "unknown_image"))
