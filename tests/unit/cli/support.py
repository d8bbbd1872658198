"""Runs ``parcela`` in this process, as a user would."""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2

from parcela.cli.app import main
from parcela.cli.client.client import Api, Place
from parcela.cli.client.credentials import CredentialFile, Login

URL = "http://lab.test"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        return json.loads(self.err)


def run(*arguments: str, stdin: str = "") -> Result:
    """One run; its exit code and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Result(int(code), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def fake_api(
    tmp_path: Path, answer: Callable[[httpx2.Request], httpx2.Response], *, token: str | None = None
) -> Iterator[tuple[Api, list[float]]]:
    """An API whose server is a function, logged in as Ana, and the pauses it made."""
    saved = CredentialFile(tmp_path / "cli.json")
    if not saved.path.exists():
        saved.keep(URL, Login("ana@lab.test", "access-1", "refresh-1"))
    pauses: list[float] = []
    api = Api(Place(URL, token), saved, transport=httpx2.MockTransport(answer), pause=pauses.append)
    try:
        yield api, pauses
    finally:
        api.close()


def problem(status: int, code: str) -> httpx2.Response:
    """An error of the server."""
    return httpx2.Response(status, json={"status": status, "code": code, "detail": f"Because {code}.", "problems": []})
