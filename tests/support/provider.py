"""A real OpenID Connect provider, in a process of its own, and the browser that signs in there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

PATIENCE_S = 60


@dataclass
class Provider:
    """The provider; people are made with ``know``."""

    issuer: str

    def know(self, subject: str, **claims: Any) -> None:
        """Tell the provider about a person."""
        answer = httpx2.put(f"{self.issuer}/users/{subject}", json=claims, timeout=PATIENCE_S)
        assert answer.status_code < 300, answer.text

    def sign_in(self, address: str, subject: str) -> dict[str, str]:
        """What the provider sends back when a person signs in at the address we sent them to."""
        return self._answered(address, {"sub": subject})

    def deny(self, address: str) -> dict[str, str]:
        """What it sends back when the person does not want to."""
        return self._answered(address, {"action": "deny"})

    @staticmethod
    def _answered(address: str, form: dict[str, str]) -> dict[str, str]:
        answer = httpx2.post(address, data=form, timeout=PATIENCE_S)
        assert answer.status_code == 302, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Start one on a free port and stop it at the end."""
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            seen = ""
            for line in process.stderr:
                seen += line
                if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                    yield Provider(found[1])
                    break
            else:
                raise AssertionError(f"the provider did not start: {seen}")
        finally:
            process.terminate()
            assert process.stderr is not None
            process.stderr.read()
