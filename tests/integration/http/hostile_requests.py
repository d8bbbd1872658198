"""Requests that nobody sends by accident, and how each is refused; ``test_hostile.py`` sends them."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.catalogue.disks import qcow2_header
from tests.integration.http.lab import MIB, ONE_VM, PASSWORD

JSON = {"Content-Type": "application/json"}
SIZE = {"vcpus": 1, "memory_mib": 128, "disk_gib": 1}
VM = {"name": "web", "os": "tiny", "flavour": "tiny"}
DEEP = b"[" * 100_000 + b"]" * 100_000
LONG_PASSWORD = "ñ" * 36 + "x"  # 37 characters, 73 bytes


@dataclass(frozen=True)
class Hostile:
    """A request, and how it is refused. ``where`` is the place of the first problem, "" for an error without places."""

    id: str
    method: str
    path: str
    status: int
    code: str
    where: str = ""
    by: str | None = "owner"
    options: dict[str, Any] = field(default_factory=dict)


def bad(name: str, request: str, refused: tuple[int, str, str], by: str | None = "owner", **options: Any) -> Any:
    """A parameter set; ``request`` is "METHOD /path"."""
    method, path = request.split(" ", 1)
    return pytest.param(Hostile(name, method, path, *refused, by, options), id=name)


def raw(body: bytes) -> dict[str, Any]:
    """A JSON body that no encoder would write."""
    return {"content": body, "headers": JSON}


def drawn(**facts: Any) -> dict[str, Any]:
    """A template whose only VM has these facts."""
    return {"name": "drawn", "document": {"vms": [ONE_VM["vms"][0] | facts]}}


def user(**facts: Any) -> dict[str, Any]:
    return {"email": "eve@class.example", "username": "eve", "password": PASSWORD} | facts


INVALID = "request_invalid"
BODIES = [
    bad("body too large", "POST /templates/", (413, "body_too_large", ""), **raw(b'"' + b"x" * 3 * MIB + b'"')),
    bad("body too large, unannounced", "POST /templates/", (413, "body_too_large", ""), content=3 * MIB, headers=JSON),
    bad(
        "image too large",
        "POST /images/",
        (413, "image_too_large", "body"),
        params={"name": "big"},
        content=b"\0" * 5 * MIB,
    ),
    bad(
        "image too large, unannounced",
        "POST /images/",
        (413, "image_too_large", "body"),
        params={"name": "big"},
        content=5 * MIB,
    ),
    bad(
        "deep document",
        "POST /templates/",
        (400, "bad_request", "body"),
        **raw(b'{"name": "x", "document": ' + DEEP + b"}"),
    ),
    bad("deep check", "POST /templates/validate", (400, "bad_request", "body"), **raw(b'{"document": ' + DEEP + b"}")),
    bad("deep import", "POST /templates/import", (400, "bad_request", "body"), **raw(b'{"vms": ' + DEEP + b"}")),
    bad("deep login", "POST /login", (400, "bad_request", "body"), by=None, **raw(DEEP)),
    bad(
        "broken UTF-8", "POST /templates/", (400, "bad_request", "body"), **raw(b'{"name": "\xff\xfe", "document": {}}')
    ),
    bad("broken UTF-8 in a login", "POST /login", (400, "bad_request", "body"), by=None, **raw(b'{"email": "\xff"}')),
    bad("no JSON", "POST /templates/", (422, INVALID, "body"), **raw(b"{name: x}")),
    bad("not an object", "POST /templates/", (422, INVALID, "body"), json=[1, 2]),
    bad("no body", "POST /templates/", (422, INVALID, "body")),
    bad(
        "key twice",
        "POST /flavours/",
        (422, "duplicate_key", "body.name"),
        by="admin",
        **raw(b'{"name": "a", "name": "b", "vcpus": 1, "memory_mib": 128, "disk_gib": 1}'),
    ),
    bad(
        "key twice, deeper",
        "POST /templates/",
        (422, "duplicate_key", "body.image"),
        **raw(b'{"name": "x", "document": {"vms": [{"name": "a", "image": "tiny", "image": "other"}]}}'),
    ),
    bad(
        "unknown field",
        "POST /flavours/",
        (422, INVALID, "body.admin"),
        by="admin",
        json={"name": "a", "admin": 1} | SIZE,
    ),
]
TYPES = [
    bad("number for a name", "POST /flavours/", (422, INVALID, "body.name"), by="admin", json={"name": 5} | SIZE),
    bad("object for a name", "POST /virtual-machines/", (422, INVALID, "body.name"), json=VM | {"name": {"a": 1}}),
    bad("word for a number", "POST /virtual-machines/", (422, INVALID, "body.cores"), json=VM | {"cores": "many"}),
    bad("part of a processor", "POST /virtual-machines/", (422, INVALID, "body.cores"), json=VM | {"cores": 1.5}),
    bad(
        "list for a flag",
        "POST /virtual-machines/",
        (422, INVALID, "body.public_access"),
        json=VM | {"public_access": []},
    ),
    bad("null for a name", "POST /templates/", (422, INVALID, "body.name"), json=drawn() | {"name": None}),
    bad(
        "number for a document",
        "POST /templates/",
        (422, "template_invalid", "document"),
        json=drawn() | {"document": 7},
    ),
    bad("word for a size drawn", "POST /templates/", (422, "template_invalid", "vms[0].vcpus"), json=drawn(vcpus="2")),
    bad(
        "no number",
        "POST /hosts/",
        (422, INVALID, "body.cpu_overcommit"),
        by="admin",
        **raw(b'{"name": "h", "zone_id": 1, "vcpus": 1, "memory_mib": 128, "disk_gib": 1, "cpu_overcommit": NaN}'),
    ),
    bad(
        "enormous number",
        "POST /flavours/",
        (422, INVALID, "body.vcpus"),
        by="admin",
        json={"name": "a"} | SIZE | {"vcpus": 10**400},
    ),
    bad("scope that is a number", "POST /tokens/", (422, INVALID, "body.scopes.0"), json={"name": "a", "scopes": [1]}),
]
TEXTS = [
    *(
        bad(f"image name {name!r}", "POST /images/", (422, INVALID, "query.name"), params={"name": name}, content=b"x")
        for name in ("../../etc/passwd", "..", "a/b", "a\\b", ".hidden", "/etc/passwd", "a\nb", "a\0b")
    ),
    *(
        bad(f"VM name {name!r}", "POST /virtual-machines/", (422, INVALID, "body.name"), json=VM | {"name": name})
        for name in ("<name>", "a&b", 'a"b', "a'b", "a\nb", "a\x1b[31m", "a\0b", "\u202eevil", "-rf", "a/../b", "web\n")
    ),
    *(
        bad(f"drawn VM {name!r}", "POST /templates/", (422, "template_invalid", "vms[0].name"), json=drawn(name=name))
        for name in ("<name/>", "a&amp;b", "a\nb", "a\x1bb", "a\0b", "")
    ),
    *(
        bad(
            f"template name {name!r}",
            "POST /templates/",
            (422, "template_invalid", "name"),
            json=drawn() | {"name": name},
        )
        for name in ("a\nb", "a\x1b[31mb", "a\u202eb", " a", "a\r\nX-Evil: 1")
    ),
    bad("template name with NUL", "POST /templates/", (422, INVALID, "body.name"), json=drawn() | {"name": "a\0b"}),
    bad(
        "slice name with control",
        "POST /slices/",
        (422, INVALID, "body.name"),
        json={"template_id": 1, "name": "a\x1bb"},
    ),
    bad(
        "description with NUL",
        "POST /zones/",
        (422, INVALID, "body.description"),
        by="admin",
        json={"name": "z", "provider": "simulated", "description": "\0"},
    ),
    bad("full name with NUL", "PATCH /users/me", (422, INVALID, "body.full_name"), json={"full_name": "a\0b"}),
    bad(
        "password with NUL",
        "POST /users/",
        (422, "password_invalid", "password"),
        by="admin",
        json=user(password="abcdefgh\0"),
    ),
    bad(
        "password of 73 bytes",
        "POST /users/",
        (422, "password_too_long", "password"),
        by="admin",
        json=user(password=LONG_PASSWORD),
    ),
    bad(
        "new password of 73 bytes",
        "POST /users/me/password",
        (422, "password_too_long", "new_password"),
        json={"old_password": PASSWORD, "new_password": LONG_PASSWORD},
    ),
    bad("filter with NUL", "GET /templates/", (422, INVALID, "query.name"), params={"name": "a\0b"}),
    bad("VM filter with NUL", "GET /virtual-machines/", (422, INVALID, "query.name"), params={"name": "a\0b"}),
    bad("slice filter with NUL", "GET /slices/", (422, INVALID, "query.name"), params={"name": "a\0b"}),
    bad("operation filter with NUL", "GET /operations/", (422, INVALID, "query.kind"), params={"kind": "a\0b"}),
    bad("event filter with NUL", "GET /events", (422, INVALID, "query.type.0"), params={"type": "a\0b"}),
    bad("VM image with NUL", "POST /virtual-machines/", (422, INVALID, "body.os"), json=VM | {"os": "a\0b"}),
    bad(
        "user data with NUL",
        "POST /virtual-machines/",
        (422, INVALID, "body.user_data"),
        json=VM | {"user_data": "#!\0"},
    ),
    bad(
        "user data of too many bytes",
        "POST /virtual-machines/",
        (422, INVALID, "body.user_data"),
        json=VM | {"user_data": "#!" + "ñ" * 40_000},
    ),
    bad(
        "SSH key with NUL",
        "POST /virtual-machines/",
        (422, INVALID, "body.ssh_keys.0"),
        json=VM | {"ssh_keys": ["ssh-rsa \0"]},
    ),
    bad("slice zone with NUL", "POST /slices/", (422, INVALID, "body.zone"), json={"template_id": 1, "zone": "a\0b"}),
    bad("VM zone with NUL", "POST /virtual-machines/", (422, INVALID, "body.zone"), json=VM | {"zone": "a\0b"}),
]
SURROGATES = [
    bad(f"surrogate: {where or code}", request, (422, code, where), by=by, **raw(body.encode()))
    for request, by, code, where, body in (
        ("POST /login", None, INVALID, "body.email", r'{"email": "\ud800", "password": "x"}'),
        ("POST /templates/", "owner", INVALID, "body.name", r'{"name": "\ud800", "document": {}}'),
        (
            "POST /templates/",
            "owner",
            INVALID,
            "body.description",
            r'{"name": "a", "description": "\udfff", "document": {}}',
        ),
        (
            "POST /templates/",
            "owner",
            "template_invalid",
            "vms[0].label",
            r'{"name": "a", "document": {"vms": [{"name": "a", "image": "tiny", "label": "\ud800"}]}}',
        ),
        (
            "POST /templates/",
            "owner",
            "template_invalid",
            "vms[0].user_data",
            r'{"name": "a", "document": {"vms": [{"name": "a", "image": "tiny", "user_data": "#!\ud800"}]}}',
        ),
        ("PATCH /users/me", "owner", INVALID, "body.full_name", r'{"full_name": "\ud800"}'),
        (
            "POST /users/",
            "admin",
            INVALID,
            "body.password",
            r'{"email": "a@b.example", "username": "abc", "password": "\ud800abcdefgh"}',
        ),
        (
            "POST /virtual-machines/",
            "owner",
            INVALID,
            "body.user_data",
            r'{"name": "web", "os": "tiny", "flavour": "tiny", "user_data": "#!\ud800"}',
        ),
        ("POST /virtual-machines/", "owner", INVALID, "body.os", r'{"name": "web", "os": "\ud800", "flavour": "tiny"}'),
        ("POST /slices/", "owner", INVALID, "body.name", r'{"template_id": 1, "name": "\ud800"}'),
        ("POST /tokens/", "owner", INVALID, "body.scopes.0", r'{"name": "a", "scopes": ["\ud800"]}'),
        ("POST /roles/", "admin", INVALID, "body.permissions.0", r'{"name": "abc", "permissions": ["\ud800"]}'),
    )
]
NUMBERS = [
    *(
        bad(f"id {row_id}", f"GET /virtual-machines/{row_id}", (422, INVALID, "path.vm_id"))
        for row_id in (2**63, 10**30, -1, 0, "1e3", "0x1", "1.5", "%00", "null")
    ),
    bad("id in a body", "POST /slices/", (422, INVALID, "body.template_id"), json={"template_id": 2**63}),
    bad("version", "GET /templates/1/versions/2147483648", (422, INVALID, "path.version")),
    bad("sequence number", f"GET /events?since={2**63}", (422, INVALID, "query.since")),
    bad("page size", "GET /slices/?limit=100000", (422, INVALID, "query.limit")),
    bad("filter by id", f"GET /virtual-machines/?host_id={10**40}", (422, INVALID, "query.host_id")),
]


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


CURSORS = [
    bad(f"cursor {text[:16]!r}", "GET /virtual-machines/", (422, "bad_cursor", "query.cursor"), params={"cursor": text})
    for text in (
        "garbage",
        "%%%",
        "é",
        cursor("name", "web", 1),
        cursor("id", {"a": 1}, 1),
        cursor("id", 1, "1 OR 1=1"),
        cursor("id", 10**30, 10**30),
        base64.urlsafe_b64encode(b"[" * 300).decode(),
    )
]
SORTS = [
    bad("sort by a secret", "GET /users/?sort=password_hash", (422, "bad_sort", "query.sort"), by="admin"),
    bad("sort by SQL", "GET /users/?sort=id;--", (422, INVALID, "query.sort"), by="admin"),
]
KEYS = [
    bad(
        f"Idempotency-Key {key[:16]!r}",
        "POST /templates/",
        (422, INVALID, "header.idempotency-key"),
        json=drawn(),
        headers={"Idempotency-Key": key},
    )
    for key in (b"a\r\nX-Evil: 1", b"a\nb", b"\x00", "ñ".encode(), b"x" * 129, b"")
]
FILES = [
    bad(
        "qcow2 over the password file",
        "POST /images/",
        (422, "image_has_backing_file", "body"),
        params={"name": "evil"},
        content=qcow2_header(backing=b"/etc/passwd"),
    ),
    bad(
        "password file",
        "POST /images/import",
        (422, "image_not_recognised", "body"),
        by="admin",
        json={"name": "evil", "path": "/etc/passwd"},
    ),
    bad(
        "device",
        "POST /images/import",
        (422, "import_path_refused", "path"),
        by="admin",
        json={"name": "evil", "path": "/dev/zero"},
    ),
    bad(
        "form",
        "POST /images/",
        (422, "upload_is_form", "header.Content-Type"),
        params={"name": "form"},
        content=b"x",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    ),
    bad(
        "template of 10,000 nodes",
        "POST /templates/",
        (413, "template_too_large", "vms"),
        json={"name": "big", "document": {"vms": [{"name": f"v{n}", "image": "tiny"} for n in range(10_000)]}},
    ),
]
ALL = [*BODIES, *TYPES, *TEXTS, *SURROGATES, *NUMBERS, *CURSORS, *SORTS, *KEYS, *FILES]
