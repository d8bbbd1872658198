"""Exit codes are promises."""

import pytest

from parcela.api.errors import STATUS, TITLES
from parcela.cli.exits import MEANINGS, CliError, Exit, exit_of_close, exit_of_status, from_answer, from_parcela_error
from parcela.core.errors import ErrorKind, ParcelaError, Problem, invalid


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, 3),
        (403, 4),
        (404, 4),
        (409, 5),
        (412, 5),
        (400, 6),
        (413, 6),
        (422, 6),
        (410, 4),
        (501, 6),
        (507, 7),
        (502, 9),
        (503, 9),
        (429, 10),
        (500, 1),
        (418, 1),
    ],
)
def test_exit_code_of_each_status(status: int, code: int) -> None:
    assert exit_of_status(status) == code


def test_every_status_of_the_api_but_ours_and_405_is_expected() -> None:
    unexpected = {status for status in TITLES if exit_of_status(status) is Exit.UNEXPECTED}
    assert unexpected == {405, 500}


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_a_kind_ends_alike_here_and_over_http(kind: ErrorKind) -> None:
    local = from_parcela_error(ParcelaError(kind, "word", "Text."))
    assert local.code is exit_of_status(STATUS[kind])


@pytest.mark.parametrize(
    ("close", "code"), [(4401, 3), (4404, 4), (4409, 5), (4429, 10), (4503, 9), (4501, 6), (4400, 6)]
)
def test_exit_code_of_each_close_code(close: int, code: int) -> None:
    assert exit_of_close(close) == code


def test_bad_settings_are_ex_config() -> None:
    error = from_parcela_error(invalid("settings_invalid", "No.", Problem("PARCELA_PORT", "Bad.", "bad_setting")))
    assert error.code == 78
    assert error.problem["problems"] == [{"where": "PARCELA_PORT", "what": "Bad.", "code": "bad_setting"}]


def test_a_problem_document_is_kept_whole() -> None:
    body = {"code": "busy", "detail": "Wait.", "problems": [], "instance": "x"}
    error = from_answer(409, body)
    assert isinstance(error, CliError)
    assert (error.code, error.problem) == (Exit.CONFLICT, body)


@pytest.mark.parametrize("body", [None, [], "nginx", {"error": 1}])
def test_an_answer_of_something_else_says_so(body: object) -> None:
    assert from_answer(502, body).problem["code"] == "http_502"


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Exit)
