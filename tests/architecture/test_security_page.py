"""The page about the OWASP API Top 10 names tests that there are, some for each of the ten points."""

import ast
import re

import pytest

from tests.architecture.rules import ROOT

PAGE = ROOT / "docs" / "security" / "owasp-api-top-10.md"
POINTS = re.compile(r"^## (API\d+):.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"^- `(tests/[^`]+)`$", re.MULTILINE)


def missing(name: str) -> str:
    """Why there is no such test; "" when there is."""
    path, _, test = name.partition("::")
    file = ROOT / path
    if not file.is_file():
        return f"there is no file {path}"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    if test and test not in functions:
        return f"{path} has no test {test}"
    return "" if any(function.startswith("test_") for function in functions) else f"{path} has no tests"


def test_every_point_has_tests_and_they_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    points = {found[1]: TEST.findall(found[0]) for found in POINTS.finditer(text)}
    assert list(points) == [f"API{number}" for number in range(1, 11)]
    assert all(points.values())
    assert not [reason for names in points.values() for name in names if (reason := missing(name))]
    assert sum(map(len, points.values())) == text.count("`tests/"), "a test is named where nothing checks it"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tests/none.py::test_a", "there is no file"),
        ("tests/architecture/test_security_page.py::test_none", "has no test test_none"),
        ("tests/architecture/rules.py", "has no tests"),
        ("tests/architecture/test_security_page.py::test_what_is_missing_is_named", ""),
    ],
)
def test_what_is_missing_is_named(name: str, reason: str) -> None:
    found = missing(name)
    assert reason in found
    assert bool(found) == bool(reason)
