import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcela.core.topology.sshkeys import KEY_TYPES, is_ssh_key


def key(kind: str, inside: str | None = None, size: int = 51) -> str:
    name = (inside or kind).encode()
    blob = len(name).to_bytes(4) + name + bytes(size)
    return f"{kind} {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize("kind", sorted(KEY_TYPES))
def test_keys(kind: str) -> None:
    assert is_ssh_key(key(kind))
    assert is_ssh_key(f"  {key(kind)} ana@laptop of the lab\n")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 not*base64",
        key("ssh-dss"),
        key("ssh-rsa", inside="ssh-ed25519"),
        key("ssh-ed25519", size=8),
        key("ssh-ed25519")[:-3],
        f'command="reboot" {key("ssh-ed25519")}',
        f"{key('ssh-ed25519')} a\n{key('ssh-ed25519')} b",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-ed25519 ññññ",
    ],
)
def test_no_keys(line: str) -> None:
    assert not is_ssh_key(line)


@given(st.text())
def test_never_fails(text: str) -> None:
    is_ssh_key(text)
    is_ssh_key(f"ssh-rsa {text}")
