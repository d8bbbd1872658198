"""Saved sessions."""

import stat
from pathlib import Path

import pytest

from parcela.cli.client.credentials import CredentialFile, Login, Saved, config_path, normal_url
from parcela.cli.exits import CliError, Exit

LOGIN = Login("ana@lab.test", "access", "refresh")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://lab:8000/", "http://lab:8000"),
        (" lab:8000 ", "http://lab:8000"),
        ("https://lab/cloud/", "https://lab/cloud"),
        ("http://lab/api/v1", "http://lab"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_addresses_have_one_spelling(text: str, url: str) -> None:
    assert normal_url(text) == url


@pytest.mark.parametrize(
    "text", ["", "ftp://lab", "http://", "http://lab:port", "http://a b", "http://lab?x=1", "http://["]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(CliError) as caught:
        normal_url(text)
    assert caught.value.code is Exit.USAGE


def test_place_of_the_file(tmp_path: Path) -> None:
    assert config_path({"PARCELA_CONFIG": str(tmp_path / "x")}) == tmp_path / "x"
    assert config_path({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "parcela" / "cli.json"
    assert config_path({"HOME": str(tmp_path)}) == tmp_path / ".config" / "parcela" / "cli.json"


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path / "deep" / "cli.json")
    file.keep("http://a", LOGIN)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in file.path.parent.iterdir() if path.name.startswith(".cli.json.")] == [
        ".cli.json.lock"
    ]


def test_sessions_are_kept_per_server(tmp_path: Path) -> None:
    file = CredentialFile(tmp_path / "cli.json")
    assert file.read() == Saved()
    other = Login("ben@lab.test", "a", "r")
    file.keep("http://a", LOGIN)
    file.keep("http://b", other)
    assert file.read() == Saved("http://b", {"http://a": LOGIN, "http://b": other})
    file.forget("http://b")
    assert file.read() == Saved("http://a", {"http://a": LOGIN})


@pytest.mark.parametrize("text", ["", "[]", '{"servers": {"x": {"email": 1}}}', '{"servers": []}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cli.json"
    path.write_text(text)
    with pytest.raises(CliError, match="damaged"):
        CredentialFile(path).read()


def test_tokens_do_not_show_in_a_repr() -> None:
    assert "access" not in repr(LOGIN).replace("access_token", "")
    assert "refresh" not in repr(LOGIN).replace("refresh_token", "")
