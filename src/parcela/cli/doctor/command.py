"""``parcela doctor``."""

import os
from typing import Annotated, Any

import typer

from parcela.cli.doctor.basics import BASICS
from parcela.cli.doctor.report import Patient, Verdict, run, worst
from parcela.cli.doctor.virtualisation import VIRTUALISATION
from parcela.cli.exits import Exit
from parcela.cli.output import Output, clean
from parcela.cli.root import Root
from parcela.core.errors import ParcelaError
from parcela.core.settings import Settings, env_name, load_settings

app = typer.Typer()
CLOSING = {
    Verdict.OK: "All is well: 'parcela serve' can start.",
    Verdict.WARN: "'parcela serve' can start; see what is marked 'warn'.",
    Verdict.FAIL: "Mend what is marked 'fail' first.",
}


@app.command()
def doctor(
    ctx: typer.Context,
    tries: Annotated[
        bool, typer.Option("--try", help="Also try harmless things: make a bridge and remove it again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Say what this machine can do for Parcela, and how to mend what is missing.

    Reads the same settings as 'serve' and changes nothing. Exit code 1 when a check fails, 0 otherwise.
    """
    out = Output(as_json=as_json or ctx.find_root().ensure_object(Root).as_json)
    findings = run((*BASICS, *VIRTUALISATION), patient(tries=tries))
    verdict = worst(findings)
    if out.as_json:
        out.document({"verdict": verdict, "checks": findings})
    else:
        _print(out, findings)
        out.note(CLOSING[verdict])
    if verdict is Verdict.FAIL:
        raise typer.Exit(Exit.UNEXPECTED)


def _print(out: Output, findings: list[dict[str, Any]]) -> None:
    columns = (("check", "name"), ("", "verdict"), ("found", "text"))
    out.table(findings, columns)
    mends = [finding for finding in findings if finding["mend"]]
    if mends:
        out.raw("\nHow to mend it:\n")
        for finding in mends:
            out.raw(f"  {finding['name']}: {clean(finding['mend'])}\n")


def patient(*, tries: bool) -> Patient:
    """This machine with its settings; with the defaults in place of bad ones."""
    try:
        return Patient(load_settings(), tries=tries)
    except ParcelaError as error:
        problems = [(problem.where, problem.what) for problem in error.problems]
    bad = {where for where, _what in problems}
    good = {
        variable: os.environ[variable]
        for variable in map(env_name, Settings.model_fields)
        if variable in os.environ and variable not in bad
    }
    defaults: dict[str, Any] = {
        env_name(name): field.get_default(call_default_factory=True)
        for name, field in Settings.model_fields.items()
        if env_name(name) in bad
    }
    # What is given to the class goes before the environment, so the bad values are not read again.
    return Patient(Settings(**{**good, **defaults}), problems, tries)
