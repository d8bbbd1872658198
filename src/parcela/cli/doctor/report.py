"""What a check says, and how all of them are run: none may crash the doctor."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from parcela.core.settings import Settings


class Verdict(StrEnum):
    """How serious it is."""

    OK = "ok"
    WARN = "warn"  # works, but something is missing or worse than it could be
    FAIL = "fail"  # Parcela does not start, or can run no VM


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        verdict: how serious it is.
        text: one sentence with the fact.
        mend: what to do about it; "" when there is nothing to do.
    """

    verdict: Verdict
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined.

    Attributes:
        settings: settings; those that are bad have their defaults.
        problems: what is wrong with the settings, as (variable, sentence).
        tries: harmless things may be tried, such as making a bridge and removing it.
    """

    settings: Settings
    problems: Sequence[tuple[str, str]] = ()
    tries: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One examination: its name, and what finds out. None means that it does not apply here."""

    name: str
    examine: Callable[[Patient], Finding | None]


def ok(text: str) -> Finding:
    """It is as it should be."""
    return Finding(Verdict.OK, text)


def warn(text: str, mend: str = "") -> Finding:
    """It could be better."""
    return Finding(Verdict.WARN, text, mend)


def fail(text: str, mend: str) -> Finding:
    """It must be mended."""
    return Finding(Verdict.FAIL, text, mend)


def run(checks: Sequence[Check], patient: Patient) -> list[dict[str, Any]]:
    """Findings in order, each with its ``name``; a check that crashes has failed itself, and says so."""
    findings = []
    for check in checks:
        try:
            finding = check.examine(patient)
        except Exception as error:  # noqa: BLE001 (the doctor must finish on machines nobody thought of)
            finding = warn(f"The check itself failed: {type(error).__name__}: {error}", "Please report this.")
        if finding is not None:
            findings.append({"name": check.name, **asdict(finding)})
    return findings


def worst(findings: Sequence[dict[str, Any]]) -> Verdict:
    """The most serious verdict."""
    found = {finding["verdict"] for finding in findings}
    return next((verdict for verdict in (Verdict.FAIL, Verdict.WARN) if verdict in found), Verdict.OK)
