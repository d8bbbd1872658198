"""The file with authorities of one's own is looked at when the settings are read."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.support.certificates import Authority

from parcela.core.settings import Settings


def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    text, missing = tmp_path / "text.pem", tmp_path / "missing.pem"
    text.write_text("no certificate")
    for path, reason in ((text, "holds none"), (missing, "cannot (No such file or directory)"), (tmp_path, "cannot")):
        with pytest.raises(ValidationError) as refused:
            Settings(_env_file=None, PARCELA_WEBHOOK_CA_FILE=path)
        assert reason in str(refused.value)


def test_it_must_hold_an_authority(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path / "authority")
    authority.server("DNS:hook.example")
    kept = Settings(_env_file=None, PARCELA_WEBHOOK_CA_FILE=authority.certificate)
    assert kept.webhook_ca_file == authority.certificate
    with pytest.raises(ValidationError, match="certificate of an authority"):
        Settings(_env_file=None, PARCELA_WEBHOOK_CA_FILE=tmp_path / "authority" / "server.pem")
