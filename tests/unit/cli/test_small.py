"""Readers of what people type: lengths of time, ids and names, files."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer

from parcela.cli.client.lookup import Ref, find_slice, find_user, find_vm, is_id, read_ref
from parcela.cli.commands.slices import addresses
from parcela.cli.commands.templates import is_cloud
from parcela.cli.documents import dump_text, read_document
from parcela.cli.durations import Duration
from parcela.cli.exits import CliError, Exit
from parcela.cli.files import read_text
from tests.unit.cli.support import fake_api, problem


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("8H", 28800), (" 3d ", 259200), ("1w", 604800)]
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert Duration.parse(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "h", "0", "-5m", "1.5h", "5 m", "5y", "\uff19"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "yes"),
    [("1", True), ("0", False), ("02", False), ("٣", False), ("1x", False), ("", False), ("9" * 30, False)],
)
def test_ids(text: str, yes: bool) -> None:
    assert is_id(text) is yes


@pytest.mark.parametrize(
    ("text", "number", "name"),
    [
        ("7", 7, "7"),
        ("#7", 7, None),
        ("id:7", 7, None),
        ("name:7", None, "7"),
        ("07", None, "07"),
        ("#007", None, "#007"),
        ("", None, ""),
        ("name:#7", None, "#7"),
        ("name:name:x", None, "name:x"),
        ("lab", None, "lab"),
        ("#lab", None, "#lab"),
        ("id:lab", None, "id:lab"),
        ("#0", None, "#0"),
        ("#", None, "#"),
        ("name:", None, "name:"),
    ],
)
def test_what_a_text_may_mean(text: str, number: int | None, name: str | None) -> None:
    assert read_ref(text) == Ref(text, number, name)


def catalogue(request: httpx2.Request) -> httpx2.Response:
    path, query = request.url.path.removeprefix("/api/v1"), request.url.params
    slices = [{"id": 1, "name": "lab"}, {"id": 2, "name": "twin"}, {"id": 3, "name": "twin"}, {"id": 4, "name": "77"}]
    vms = [
        {"id": 11, "name": "client", "slice_id": 1, "slice": "lab"},
        {"id": 12, "name": "client", "slice_id": 4, "slice": "77"},
    ]
    users = [
        {"id": 5, "email": "ana@lab.test", "username": "ana"},
        {"id": 6, "email": "anabel@x", "username": "anabel"},
    ]
    if path == "/slices/1":
        return httpx2.Response(200, json=slices[0])
    rows = {"/slices/": slices, "/virtual-machines/": vms, "/users/": users}.get(path)
    if rows is None:
        return problem(404, "not_found")
    keep = [row for row in rows if all(str(row[key]) == query[key] for key in ("name", "slice_id") if key in query)]
    return httpx2.Response(200, json={"items": keep, "next_cursor": None})


def test_things_are_found_by_id_and_by_name(tmp_path: Path) -> None:
    with fake_api(tmp_path, catalogue) as (api, _pauses):
        assert find_slice(api, "1")["name"] == "lab"
        assert find_slice(api, "lab")["id"] == 1
        assert find_slice(api, "77")["id"] == 4  # no such id, but such a name
        assert find_slice(api, "#1")["id"] == find_slice(api, "id:1")["id"] == 1
        assert find_slice(api, "name:77")["id"] == 4
        assert find_vm(api, "#1/client")["id"] == 11
        assert find_vm(api, "lab/client")["id"] == 11
        assert find_user(api, "ANA")["id"] == 5


@pytest.mark.parametrize(
    ("ref", "code", "word"),
    [
        ("twin", Exit.INVALID, "name_ambiguous"),
        ("none", Exit.REFUSED, "slice_not_found"),
        ("9", Exit.REFUSED, "slice_not_found"),
        ("#77", Exit.REFUSED, "slice_not_found"),
        ("name:1", Exit.REFUSED, "slice_not_found"),
    ],
)
def test_things_that_are_not_to_be_found(tmp_path: Path, ref: str, code: Exit, word: str) -> None:
    with fake_api(tmp_path, catalogue) as (api, _pauses), pytest.raises(CliError) as caught:
        find_slice(api, ref)
    assert (caught.value.code, caught.value.problem["code"]) == (code, word)


def test_a_vm_of_several_slices_needs_its_slice(tmp_path: Path) -> None:
    with fake_api(tmp_path, catalogue) as (api, _pauses):
        with pytest.raises(CliError, match="by its id") as caught:
            find_vm(api, "client")
        assert [item["what"] for item in caught.value.problem["problems"]] == [
            "vm 11 'client' (slice lab)",
            "vm 12 'client' (slice 77)",
        ]
        with pytest.raises(CliError, match="has no VM 'printer'"):
            find_vm(api, "lab/printer")


def test_documents_are_json_or_yaml(tmp_path: Path) -> None:
    document = {"name": "ñ", "document": {"vms": []}}
    for name in ("a.json", "b.yaml", "c"):
        path = tmp_path / name
        path.write_text(dump_text(document, path))
        assert read_document(path) == document
    assert (tmp_path / "b.yaml").read_text().startswith("name: ñ")


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", "{"), ("b.yaml", "a: [1"), ("c.yaml", "!!python/object:x {}")]
)
def test_what_is_neither(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(CliError) as caught:
        read_document(path)
    assert caught.value.code is Exit.INVALID


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "binary", "."):
        with pytest.raises(CliError, match="cannot be read"):
            read_text(tmp_path / name)


def test_addresses_of_a_vm() -> None:
    nics: list[dict[str, Any]] = [
        {"position": 0, "address": "10.0.0.2/24", "leased_address": None},
        {"position": 1, "address": None, "leased_address": "10.231.0.9"},
        {"position": 2, "address": None, "leased_address": None},
    ]
    assert addresses(nics) == "eth0=10.0.0.2/24  eth1=10.231.0.9"
    assert addresses([]) == "-"


def test_the_older_document_is_told_by_its_drawing() -> None:
    assert is_cloud({"topologia": {}})
    assert not is_cloud({"vms": []})
