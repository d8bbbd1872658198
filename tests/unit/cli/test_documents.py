"""Files that people really have: what is read, and what a refusal says."""

import codecs
from pathlib import Path

import pytest

from parcela.cli.documents import read_document
from parcela.cli.exits import CliError
from parcela.cli.yaml_text import MAX_NODES

TEMPLATE = "vms:\n  - {name: café, image: tiny}\n"


def _read(folder: Path, content: bytes | str, name: str = "lab.yaml") -> object:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_document(path)


def _refused(folder: Path, content: bytes | str, name: str = "lab.yaml") -> str:
    with pytest.raises(CliError) as refused:
        _read(folder, content, name)
    return str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        TEMPLATE.encode(),
        codecs.BOM_UTF8 + TEMPLATE.encode(),
        TEMPLATE.replace("\n", "\r\n").encode(),
        b"%YAML 1.2\n---\n" + TEMPLATE.encode(),
    ],
)
def test_utf8_of_every_editor(tmp_path: Path, content: bytes) -> None:
    assert _read(tmp_path, content) == {"vms": [{"name": "café", "image": "tiny"}]}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_named(tmp_path: Path, encoding: str) -> None:
    assert "save it as UTF-8" in _refused(tmp_path, TEMPLATE.encode(encoding))


def test_latin_1_names_the_line(tmp_path: Path) -> None:
    assert "line 2 is no UTF-8 text" in _refused(tmp_path, TEMPLATE.encode("latin-1"))


def test_words_of_yaml_1_1_stay_what_was_typed(tmp_path: Path) -> None:
    """In YAML 1.1 the first is a number, the second false, the third a date, the fourth eight."""
    text = "mac: 52:54:00:11:22:33\nname: no\nday: 2026-11-28\nbits: 010\ntime: 12:30\n"
    expected = {"mac": "52:54:00:11:22:33", "name": "no", "day": "2026-11-28", "bits": 10, "time": "12:30"}
    assert _read(tmp_path, text) == expected


def test_values_of_the_core_schema(tmp_path: Path) -> None:
    text = "a: true\nb: null\nc: ~\nd: -7\ne: 1.5e3\nf: 0x1F\ng: 0o17\nh: '1'\ni:\n"
    text += "j: &x {k: 1}\nk: *x\nl: {<<: *x, m: 2}\n"
    j = {"k": 1}
    expected = {"a": True, "b": None, "c": None, "d": -7, "e": 1500.0, "f": 31, "g": 15, "h": "1", "i": None}
    assert _read(tmp_path, text) == expected | {"j": j, "k": j, "l": {"k": 1, "m": 2}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vms: []\nedges: []\nvms: [{name: a}]\n", ["line 3, column 1", "'vms'", "line 1"]),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", ["line 4, column 3", "'b'", "line 2"]),
        ("a: {x: 1, x: 2}\n", ["line 1, column 11", "'x'"]),
        ("a: &a\n  - *a\n", ["line 1", "used inside the value itself"]),
        ("&a {b: *a}\n", ["used inside the value itself"]),
        ("a: &a {b: &b [*a]}\n", ["used inside the value itself"]),
        ("a: 1\n---\na: 2\n", ["line 2", "document"]),
        ("a: [1,\n", ["line 2"]),
        ("a:\n\tb: 1\n", ["line 2, column 1"]),
        ("a: !!python/object:os.system x\n", ["line 1, column 4"]),
        ("1: a\n", ["line 1, column 1", "A key must be text"]),
        ("? [a]\n: b\n", ["A key must be text"]),
        ("a: .nan\n", ["line 1, column 4", "no number"]),
        ("a: 1e999\n", ["line 1, column 4", "no number"]),
        ("", ["empty"]),
        ("# only a comment\n", ["empty"]),
        ("a: " + "[" * 5000, ["nested too deeply"]),
        ("a: *b\n", ["line 1, column 4", "undefined alias"]),
        ("a: " + "9" * 10_000 + "\n", ["too many digits"]),
    ],
)
def test_yaml_that_would_lose_data_is_refused_with_its_place(tmp_path: Path, text: str, words: list[str]) -> None:
    refusal = _refused(tmp_path, text)
    assert all(word in refusal for word in words), refusal
    assert "\n" not in refusal


def test_aliases_that_stand_for_billions(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert str(MAX_NODES) in _refused(tmp_path, "\n".join(lines))


def test_json_files_are_judged_as_json(tmp_path: Path) -> None:
    assert _read(tmp_path, '{\t"a": [1, 2]}', "lab.json") == {"a": [1, 2]}
    assert "line 2, column 1: The key 'a'" in _refused(tmp_path, '{"a": 1,\n"a": 2}', "lab.json")
