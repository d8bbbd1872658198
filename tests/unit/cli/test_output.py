"""What people and programs see."""

import json

import pytest

from parcela.cli.exits import Exit, fail
from parcela.cli.output import ERROR_CHARS, Output, briefly, clean, local_time, print_error, size_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (["a", "b"], "a, b"),
        ([], "-"),
        ("a\x1b[31mb\nc", "a [31mb c"),
        ("ñandú", "ñandú"),
        (3, "3"),
        ("\u202eevil", " evil"),
    ],
)
def test_no_value_can_steer_the_terminal(value: object, text: str) -> None:
    assert clean(value) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**30, "5.0 GiB"), (2**50, "1024.0 TiB")]
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


def test_times_are_local_and_nonsense_stays() -> None:
    assert local_time("2026-01-02T03:04:05Z").startswith("2026-01-0")
    assert local_time("soon") == "soon"


def test_tables_are_neither_cut_nor_wrapped_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table([{"id": 1, "name": "x" * 300}], (("id", "id"), ("name", "name")))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ID", "NAME"]
    assert lines[1].split() == ["1", "x" * 300]


def test_lists_show_the_beginning_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    columns = (("id", "id"), ("error", "error"), ("name", "name"))
    rows = [{"id": 1, "error": "could not " * 100, "name": "n" * 100}, {"id": 2, "error": "e" * ERROR_CHARS}]
    out = Output(as_json=False)
    out.table(rows, briefly(columns))
    long, whole = capsys.readouterr().out.splitlines()[1:]
    shown = long.removeprefix("1").strip().removesuffix("n" * 100).strip()
    assert shown.endswith("not…")
    assert len(shown) <= ERROR_CHARS
    assert "e" * ERROR_CHARS in whole
    out.record(rows[0], columns)
    assert "could not " * 99 in capsys.readouterr().out


def test_markup_in_names_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table([{"name": "[red]x[/]"}], (("name", "name"),))
    assert "[red]x[/]" in capsys.readouterr().out


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.note("not for programs")
    out.table([], ())
    captured = capsys.readouterr()
    assert (json.loads(captured.out), captured.err) == ([], "")


def test_an_empty_list_says_so_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table([], (), empty="No slices.")
    captured = capsys.readouterr()
    assert (captured.out, captured.err.strip()) == ("", "No slices.")


def test_errors_name_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [{"where": "vms[0].image", "what": "There is no such image.", "code": "unknown_image"}]
    error = fail(Exit.INVALID, "template_invalid", "It has problems.", problems=problems, instance="abc")
    print_error(error, as_json=False)
    assert capsys.readouterr().err == "It has problems.\n  vms[0].image: There is no such image.\n  (request abc)\n"
    print_error(error, as_json=True)
    assert json.loads(capsys.readouterr().err)["problems"] == problems
