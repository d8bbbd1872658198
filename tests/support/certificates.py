"""A private certificate authority and what it signs, made by the ``openssl`` command."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", "req", "-x509", *_KEY, *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Authority:
    """An authority that nobody knows; its files are in a folder of the test."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """What those who trust it are given."""
        return self.folder / "authority.pem"

    @property
    def _key(self) -> Path:
        return self.folder / "authority.key"

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        """A new one."""
        folder.mkdir()
        made = cls(folder)
        _openssl("-subj", "/CN=Test authority", "-keyout", str(made._key), "-out", str(made.certificate))
        return made

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server uses; its certificate is for ``names``, such as ``DNS:hook.example`` or ``IP:127.0.0.1``."""
        key, certificate = self.folder / "server.key", self.folder / "server.pem"
        _openssl(
            *("-CA", str(self.certificate), "-CAkey", str(self._key), "-subj", "/CN=server"),
            *("-addext", f"subjectAltName={','.join(names)}", "-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", str(key), "-out", str(certificate)),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context
