"""Both languages say everything the pages ask for."""

import re
from pathlib import Path
from string import Formatter

import pytest

import parcela.web
from parcela.core.errors import ErrorKind
from parcela.core.lifecycle import Action, OperationState, SliceState, StepState, VmState
from parcela.core.machines import MachineStatus, MaintenanceKind
from parcela.core.power import PowerReason
from parcela.services.operations.steps import KINDS
from parcela.web.i18n.catalogue import LOCALES, Translator, choose_locale, load_translators
from parcela.web.views import machines, slices

FOLDER = Path(parcela.web.__file__).parent
SOURCES = [*FOLDER.rglob("*.html"), *FOLDER.rglob("*.py")]
LITERAL = re.compile(r"""\bt(?:\.either)?\(\s*["']([a-z_.]+[a-z])["']""")


def texts(locale: str) -> dict[str, str]:
    return dict(load_translators()[locale]._texts)


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.fixture(params=LOCALES)
def t(request: pytest.FixtureRequest) -> Translator:
    return load_translators()[request.param]


def test_both_languages_have_every_key() -> None:
    assert set(texts("en")) == set(texts("es"))


def test_both_languages_fill_in_the_same_values() -> None:
    english, spanish = texts("en"), texts("es")
    assert {key: fields(text) for key, text in english.items()} == {key: fields(spanish[key]) for key in english}


def test_no_text_is_empty(t: Translator) -> None:
    assert [key for key, text in t._texts.items() if not text.strip()] == []


def test_every_key_that_pages_name_is_there(t: Translator) -> None:
    named = {key for path in SOURCES for key in LITERAL.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 80
    assert sorted(key for key in named if key not in t) == []


def test_every_state_and_action_has_words(t: Translator) -> None:
    offered = {*machines.BUTTONS, *slices.BUTTONS, "extend", "cancel", "retry", "launch"}
    keys = [
        *(f"slice.state.{state}" for state in SliceState),
        *(f"slice.now.{state}" for state in SliceState),
        *(f"vm.state.{state}" for state in VmState),
        *(f"vm.reason.{reason}" for reason in PowerReason),
        *(f"machine.status.{status}" for status in MachineStatus),
        *(f"maintenance.kind.{kind}" for kind in MaintenanceKind),
        *(f"operation.state.{state}" for state in OperationState),
        *(f"step.state.{state}" for state in StepState),
        *(f"step.{kind}" for kind in KINDS),
        *(f"action.{action}" for action in offered),
        *(f"operation.slice.{action}" for action in Action if action is not Action.UPDATE),
        *(f"operation.vm.{action}" for action in Action),
        *(f"error.kind.{kind}" for kind in ErrorKind),
    ]
    assert [key for key in keys if key not in t] == []


def test_no_text_is_left_over() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    computed = re.compile(
        r"(slice\.(state|now|help)|vm\.(state|reason)|machine\.status|project\.role"
        r"|maintenance\.kind|operation\.(state|slice|vm)|step|action|error|notice|confirm"
        r"|console\.(kind|connected)|unit|security\.codes_left)\."
    )
    unused = [key for key in texts("en") if f'"{key}"' not in source and f"'{key}'" not in source]
    assert [key for key in unused if not computed.match(key)] == []


@pytest.mark.parametrize(
    ("wishes", "header", "chosen"),
    [
        ((None, None), "", "en"),
        ((None, None), "es-PE,es;q=0.9,en;q=0.8", "es"),
        ((None, None), "fr, es;q=0.4, en;q=0.7", "en"),
        ((None, None), "es;q=0", "en"),
        ((None, None), "es;q=nonsense,,;", "en"),
        ((None, "es"), "en", "es"),
        (("en", "es"), "es", "en"),
        (("xx", None), "es", "es"),
    ],
)
def test_the_first_wish_we_know_is_taken(wishes: tuple[str | None, ...], header: str, chosen: str) -> None:
    assert choose_locale(*wishes, accept_language=header) == chosen


def test_one_and_several(t: Translator) -> None:
    plural = Translator("en", {"box.one": "{count} box", "box.other": "{count} boxes"})
    assert [plural.n("box", count) for count in (0, 1, 2)] == ["0 boxes", "1 box", "2 boxes"]
