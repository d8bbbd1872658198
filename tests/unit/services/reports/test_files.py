"""CSV, workbook and PDF of a report, also with texts that somebody meant to be more than text."""

import csv
import io
import json
import zipfile
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import typst

from parcela.core.csv_text import inert
from parcela.services.reports import plots, write_csv, write_pdf, write_xlsx
from parcela.services.reports.report import Money, Report, Selection
from parcela.services.reports.texts import TEXTS, Words
from tests.unit.services.reports.makers import entry, machine, report, sample

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "  =1+1", "\uff1d1+1", '=HYPERLINK("http://evil","x")']
MARKUP = ['#panic("x")', '#read("/etc/passwd")', "*bold* _it_", "$ sum $", "= heading", "]", '"', "\\", "<label>", "`"]
SPREADSHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def _rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def _hostile(text: str) -> Report:
    """A report with a text in every place that takes one."""
    facts: dict[str, Any] = {"company": text, "technician": text, "notes": text, "cost": Money("PEN", 100)}
    others = entry(f"{text}2", "2026-02-01", **facts)
    known: dict[str, Any] = {f"{text}2": machine(f"{text}2", kind=text, area=text, status=text)}
    selection = Selection(machine_code=text, area=text)
    return report(entry(text, "2026-01-01", **facts), others, selection=selection, **known)


@pytest.mark.parametrize("text", FORMULAS)
def test_what_could_be_a_formula_is_a_text(text: str) -> None:
    assert inert(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "plain", "a=b", "PC-001", "3-1", "ñ"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert inert(text) == text


def test_csv_has_the_records_with_bare_numbers() -> None:
    rows = _rows(write_csv.write(report(entry("PC-1", "2026-01-02", cost=Money("PEN", 1250), notes='a "b",\nc'))))
    assert rows[0] == ["Date", "Machine", "Kind", "State", "Company", "Technician", "Cost", "Currency", "Notes"]
    assert rows[1:] == [
        ["2026-01-02", "PC-1", "Preventive", "Done", "ACME", "Rosa", "12.50", "PEN", 'a "b",\nc'],
    ]


def test_csv_speaks_spanish() -> None:
    rows = _rows(write_csv.write(report(entry("PC-1", "2026-01-02", "corrective"), locale="es")))
    assert rows[0][4:6] == ["Empresa", "Técnico"]
    assert rows[1][2:4] == ["Correctivo", "Realizado"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_a_csv_starts_a_formula(text: str) -> None:
    for row in _rows(write_csv.write(_hostile(text)))[1:]:
        assert [cell for cell in row if cell.endswith(text)] == [f"'{text}"] * 4 or row[1] == f"'{text}2"
        assert not [cell for cell in row if cell[:1] in "=+-@\t\r" and cell]


def _workbook(content: bytes) -> tuple[list[str], set[str]]:
    """All shared strings, and the kinds of elements in the sheets' cells."""
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        strings = ET.fromstring(book.read("xl/sharedStrings.xml"))  # noqa: S314 (we wrote it)
        texts = ["".join(part.text or "" for part in item.iter(f"{SPREADSHEET}t")) for item in strings]
        kinds = set()
        for name in book.namelist():
            if name.startswith("xl/worksheets/sheet"):
                cells = ET.fromstring(book.read(name)).iter(f"{SPREADSHEET}c")  # noqa: S314
                kinds |= {part.tag.removeprefix(SPREADSHEET) for cell in cells for part in cell}
    return texts, kinds


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_a_workbook_is_a_formula_or_becomes_one(text: str) -> None:
    texts, kinds = _workbook(write_xlsx.write(_hostile(text)))
    assert kinds == {"v"}
    assert not [shown for shown in texts if shown.strip()[:1] in set("=+-@\uff1d")]


def test_a_workbook_has_its_sheets_and_figures() -> None:
    content = write_xlsx.write(sample("es"))
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheets = ET.fromstring(book.read("xl/workbook.xml")).iter(f"{SPREADSHEET}sheet")  # noqa: S314
        assert [sheet.get("name") for sheet in sheets] == ["Resumen", "Máquinas", "Mantenimientos", "Meses"]
    texts, _ = _workbook(content)
    assert "Informe de mantenimiento: Todas las máquinas" in texts
    assert "PC-004" in texts


@pytest.mark.parametrize("locale", ["en", "es"])
def test_a_pdf_is_made(locale: str) -> None:
    assert write_pdf.write(sample(locale)).startswith(b"%PDF-")


def test_a_pdf_of_nothing_is_made() -> None:
    assert write_pdf.write(report()).startswith(b"%PDF-")


@pytest.fixture(scope="module")
def plain_elements() -> list[int]:
    return _elements(_hostile("plain"))


def _elements(made: Report) -> list[int]:
    """How many elements of markup typst sees, by kind."""
    inputs = {"data": json.dumps(write_pdf.document(made))}
    compiler = typst.Compiler(str(write_pdf.LAYOUT), root=str(write_pdf.LAYOUT.parent), sys_inputs=inputs)
    return [len(json.loads(compiler.query(kind))) for kind in ("heading", "strong", "emph", "math.equation", "raw")]


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_a_text_stays_text(text: str, plain_elements: list[int]) -> None:
    assert plain_elements[0] > 3
    assert _elements(_hostile(text)) == plain_elements


def test_a_pdf_of_nothing_but_markup_is_made() -> None:
    assert write_pdf.write(_hostile(" ".join(MARKUP))).startswith(b"%PDF-")


def test_long_words_can_be_broken_and_long_notes_are_cut() -> None:
    row = write_pdf.document(report(entry("X" * 64, "2026-01-01", notes="y" * 2000)))["tables"][-1]["rows"][0]
    assert max(len(part) for part in row[1].split("\u200b")) <= 12
    assert row[1].replace("\u200b", "") == "X" * 64
    assert len(row[-1].replace("\u200b", "")) == write_pdf.MAX_NOTES_CHARS
    assert row[-1].endswith("…")


def test_a_pdf_says_how_much_it_leaves_out() -> None:
    many = [entry("A", "2026-01-01") for _ in range(write_pdf.MAX_RECORDS + 1)]
    table = write_pdf.document(report(*many))["tables"][-1]
    assert len(table["rows"]) == write_pdf.MAX_RECORDS
    assert table["note"] == "The newest 1000 of 1001 records; CSV and XLSX have all of them."


def test_plots_take_any_text_and_are_the_same_every_time() -> None:
    words, hostile = Words("en"), _hostile(r"$\frac{")
    first = (plots.per_month(words, hostile), plots.cost_by_machine(hostile, "PEN"))
    assert all(svg and svg.rstrip().endswith("</svg>") for svg in first)
    assert first == (plots.per_month(words, hostile), plots.cost_by_machine(hostile, "PEN"))


def test_a_mistyped_year_does_not_ask_for_thousands_of_bars() -> None:
    days = ["2026-01-01", "2026-05-01", "9000-12-31"]
    made = report(*(entry("PC-1", day) for day in days))
    assert plots._bars(made) == (["2026", "9000"], [2, 1], [0, 0])
    many = report(*(entry("PC-1", f"{year}-01-01") for year in range(1970, 2030)))
    assert plots._bars(many)[0] == [str(year) for year in range(2030 - plots.MAX_BARS, 2030)]


def test_long_times_are_drawn_as_years() -> None:
    made = report(entry("A", "2001-05-01"), entry("A", "2026-05-01", "corrective"))
    labels, preventive, corrective = plots._bars(made)
    assert (labels[0], labels[-1], len(labels)) == ("2001", "2026", 26)
    assert (sum(preventive), sum(corrective)) == (1, 1)


def test_months_between_are_drawn_as_gaps() -> None:
    made = report(entry("A", "2025-11-01"), entry("A", "2026-02-01"))
    assert plots._bars(made) == (["2025-11", "2025-12", "2026-01", "2026-02"], [1, 0, 0, 1], [0, 0, 0, 0])


def test_both_languages_have_the_same_keys() -> None:
    assert TEXTS["en"].keys() == TEXTS["es"].keys()
    assert Words("fr").locale == "en"
