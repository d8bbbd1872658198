"""The answers of an endpoint: a page in the reader's language, or "look there"."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from parcela.services.access import Caller
from parcela.web.dependencies.caller import Reader
from parcela.web.i18n.catalogue import Translator
from parcela.web.site import site_of


class View:
    """One request's way to HTML."""

    def __init__(self, request: Request, caller: Caller | None = None) -> None:
        """``caller`` is who reads; None for strangers."""
        self._request = request
        self._caller = caller
        self._renderer = site_of(request).renderer

    @property
    def t(self) -> Translator:
        """The reader's language."""
        return self._renderer.translator(self._request, self._caller)

    def page(
        self,
        template: str,
        *,
        fragment: str | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> HTMLResponse:
        """See ``Renderer.answer``."""
        options: dict[str, Any] = {"fragment": fragment, "status": status, "headers": headers}
        return self._renderer.answer(self._request, self._caller, template, **options, **facts)


async def _stranger_view(request: Request) -> View:
    return View(request)


async def _reader_view(request: Request, caller: Reader) -> View:
    return View(request, caller)


StrangerView = Annotated[View, Depends(_stranger_view)]
ReaderView = Annotated[View, Depends(_reader_view)]


def see_other(path: str) -> RedirectResponse:
    """The answer to a write that worked: look there (a reload then repeats nothing)."""
    return RedirectResponse(path, status_code=303)
