"""Names that people choose: no two that look like one; numbers and bodies that would be stored otherwise than sent."""

import pytest

from tests.integration.http.inventory import machine
from tests.integration.http.lab import API, Lab, problem

pytestmark = pytest.mark.anyio
UNSEEN = [" Red", "Red ", "\u00a0Red", "Red\u200b", "Re\u00add", "Red\u202e", "Red\nB", "Red\x7f", " ", "\u200b"]


@pytest.mark.parametrize("name", UNSEEN, ids=ascii)
async def test_names_have_no_signs_that_are_not_seen(lab: Lab, name: str) -> None:
    hook = {"name": name, "url": "https://example.org/x", "event_types": []}
    for path, body in [
        ("/projects/", {"name": name, "kind": "class"}),
        ("/webhooks/", hook),
        ("/tokens/", {"name": name, "scopes": ["vm:*"]}),
    ]:
        (found,) = problem(await lab.call("POST", path, "admin", json=body), 422, "request_invalid")["problems"]
        assert found["where"] == "body.name", path
        assert "without a space at either end" in found["what"]


@pytest.mark.parametrize("name", ["Redes 2026", "Señalización", "ñ", "😀", "a  b"])
async def test_other_names_stay(lab: Lab, name: str) -> None:
    answer = await lab.call("POST", "/projects/", "admin", json={"name": name, "kind": "class"})
    assert (answer.status_code, answer.json()["name"]) == (201, name)


@pytest.mark.parametrize("number", [2**63, -(2**64), 12345678901234567890])
async def test_a_whole_number_keeps_all_its_digits_or_is_refused(lab: Lab, number: int) -> None:
    made = await machine(lab)
    path = f"/machines/{made['id']}"
    answer = await lab.call("PATCH", path, "admin", json={"custom_fields": {"meter": number}})
    assert any("whole number" in found["what"] for found in problem(answer, 422, "request_invalid")["problems"])
    assert (await lab.call("GET", path, "admin")).json()["custom_fields"] == {}
    answer = await lab.call("PATCH", path, "admin", json={"custom_fields": {"meter": 1.5, "hours": 2**53 - 1}})
    assert answer.json()["custom_fields"] == {"meter": 1.5, "hours": 2**53 - 1}


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        (b'{"name": "a",\n "kind":}', 422, "line 2, column 9: Expecting value."),
        (b'{"name": "caf\xe9"}', 400, "The body is no UTF-8 text from byte 14 on."),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "A number has too many digits."),
        (b'{"name": ' + b"[" * 100_000, 400, "Lists and objects stand too deep in each other."),
    ],
    ids=["syntax", "latin-1", "digits", "depth"],
)
async def test_a_body_that_cannot_be_read_is_told_with_its_place(lab: Lab, body: bytes, status: int, what: str) -> None:
    headers = lab.people["admin"].headers | {"Content-Type": "application/json"}
    answer = await lab.http.post(f"{API}/projects/", content=body, headers=headers)
    assert problem(answer, status, "request_invalid" if status == 422 else "bad_request")["problems"] == [
        {"where": "body", "what": what, "code": "json_invalid"}
    ]
