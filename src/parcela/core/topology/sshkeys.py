"""Public SSH keys as one line of ``authorized_keys`` without options."""

import base64
import binascii
from typing import Final

# No ssh-dss: OpenSSH has dropped it, so the key would silently not work.
KEY_TYPES: Final = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)


def is_ssh_key(line: str) -> bool:
    """Tell whether a line is ``<type> <base64> [comment]`` and the base64 really holds a key of that type.

    Options (``command="..."``) are refused: the key is also handed to cloud-init, which reads them differently.
    """
    parts = line.strip().split(None, 2)
    if len(parts) < 2 or parts[0] not in KEY_TYPES or not line.strip().isprintable():
        return False
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (binascii.Error, ValueError):
        return False
    # RFC 4253, 6.6: the blob begins with its type as a string with a 32-bit length; a cut paste lacks the rest.
    kind = parts[0].encode()
    return blob.startswith(len(kind).to_bytes(4) + kind) and len(blob) >= len(kind) + 4 + 32
