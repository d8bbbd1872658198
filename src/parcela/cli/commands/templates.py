"""``parcela template``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from parcela.cli.client.client import Json
from parcela.cli.client.lookup import ambiguous, find_template, taken_for
from parcela.cli.commands.actions import MAY
from parcela.cli.declare import SUBJECT, Cli, Limit, Yes, command
from parcela.cli.documents import dump_text, read_document
from parcela.cli.exits import CliError, Exit, fail
from parcela.cli.files import write_text
from parcela.cli.output import when
from parcela.core.errors import ParcelaError
from parcela.core.image_names import ImageNames
from parcela.core.topology.cloud import from_cloud
from parcela.core.topology.document import dump_document

app = typer.Typer(no_args_is_help=True, help="Templates: drawn topologies, which slices are made of.")
TemplateRef = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Id or name of the template."), SUBJECT]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="JSON or YAML; '-' reads stdin.")]
COLUMNS = (
    ("id", "id"),
    ("name", "name"),
    ("version", "version"),
    ("visibility", "visibility"),
    ("owner", "owner"),
    ("changed", when("updated_at")),
    ("description", "description"),
)
VM_COLUMNS = (
    ("vm", "name"),
    ("image", "image"),
    ("flavour", "flavour"),
    ("vcpus", "vcpus"),
    ("ram mib", "memory_mib"),
    ("disk gib", "disk_gib"),
    ("public", "public_access"),
)


class Format(StrEnum):
    """File formats of templates."""

    NATIVE = "native"
    CLOUD = "cloud"


def is_cloud(raw: object) -> bool:
    """Whether it is a document of the older cloud: ``topologia``, ``recursos``, ``subred``."""
    return isinstance(raw, dict) and "topologia" in raw


@command(app, "list")
def list_templates(cli: Cli, limit: Limit = None) -> None:
    """List public templates and your own."""
    cli.out.table(cli.api.pages("/templates/", limit), COLUMNS, empty="No templates.")


@command(app, "show")
def show(cli: Cli, ref: TemplateRef) -> None:
    """Show a template and its VMs."""
    found = cli.api.get(f"/templates/{find_template(cli.api, ref)['id']}")
    cli.out.record(found, (*COLUMNS, MAY))
    if not cli.out.as_json:
        cli.out.table(found["document"]["vms"], VM_COLUMNS, empty="It has no VMs.")
        for problem in found["gone"]:
            cli.out.note(f"It cannot be launched. {problem['what']}")


@command(app, "apply")
def apply(
    cli: Cli,
    file: FileArgument,
    name: Annotated[str | None, typer.Option(help="Its name; else that in the file, else the file's.")] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about it.")] = None,
    public: Annotated[
        bool | None, typer.Option("--public/--private", help="Whether everybody may launch it; else as it is.")
    ] = None,
) -> None:
    """Save a template, or bring your template of that name up to date: a changed drawing makes a new version.

    Applying the same file again changes nothing. The file is one of 'export' (both formats), or a bare topology.
    """
    raw = read_document(file)
    body = _body(cli, raw, file, name)
    if description is not None:
        body["description"] = description
    me = cli.api.get("/users/me")
    mine = cli.api.pages("/templates/", name=body["name"], owner_id=me["id"])
    if len(mine) > 1:
        raise ambiguous("template", body["name"], mine)
    if mine:
        body = {"description": mine[0]["description"], "visibility": mine[0]["visibility"], **body}
    if public is not None:
        body["visibility"] = "public" if public else "private"
    if mine:
        saved = cli.api.change("PUT", f"/templates/{mine[0]['id']}", body)
        news = "is unchanged" if saved["version"] == mine[0]["version"] else "is changed"
    else:
        saved = cli.api.create("/templates/", body)
        news = "is saved"
    text = f"Template {saved['id']} '{saved['name']}' {news} (version {saved['version']})."
    cli.out.result(saved, text)


def _body(cli: Cli, raw: Any, file: Path, name: str | None) -> Json:
    """The request for what a file holds."""
    fallback = name or ("template" if str(file) == "-" else file.stem)
    if not isinstance(raw, dict):
        raise fail(Exit.INVALID, "template_invalid", f"{file} holds no template: it must be one JSON or YAML object.")
    if is_cloud(raw):
        return {"name": fallback, "document": _from_cloud(cli, raw)}
    if "document" in raw:
        given = {key: raw[key] for key in ("description", "visibility") if key in raw}
        return {"name": name or raw.get("name") or fallback, "document": raw["document"], **given}
    return {"name": fallback, "document": raw}


def _from_cloud(cli: Cli, raw: Json) -> Json:
    try:
        names = ImageNames(cli.api.pages("/images/"))
        return dump_document(from_cloud(raw, names.find))
    except ParcelaError as error:
        problems = [{"where": p.where, "what": p.what, "code": p.code} for p in error.problems]
        raise fail(Exit.INVALID, error.code, error.message, problems=problems) from error


@command(app, "validate")
def validate(cli: Cli, file: FileArgument) -> None:
    """Say everything that is wrong with a template, without saving it. Exit code 6 when something is."""
    verdict = cli.api.post("/templates/validate", {"document": _body(cli, read_document(file), file, None)["document"]})
    if not verdict["valid"]:
        document = {"code": "template_invalid", "detail": f"{file} has problems.", "problems": verdict["problems"]}
        raise CliError(Exit.INVALID, document)
    cli.out.result(verdict, f"{file} is valid.")


@command(app, "export")
def export(
    cli: Cli,
    ref: TemplateRef,
    form: Annotated[Format, typer.Option("--format", help="native, or cloud for the older cloud.")] = Format.NATIVE,
    version: Annotated[int | None, typer.Option(min=1, help="An older version; the newest when left out.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; YAML when it ends in .yaml. Else stdout.")
    ] = None,
) -> None:
    """Write a template as a file that 'apply' reads. What the format cannot hold is named on stderr."""
    found = find_template(cli.api, ref)
    params = {"format": form.value, "version": version}
    answer = cli.api.request("GET", f"/templates/{found['id']}/export", params=params)
    if lost := int(answer.headers.get("X-Lost-Count", "0")):
        cli.out.note(f"The format '{form.value}' cannot hold {lost} things: {answer.headers.get('X-Lost', '')}")
    text = dump_text(answer.json(), output)
    if output is None:
        cli.out.raw(text)
        return
    write_text(output, text)
    cli.out.result({"template_id": found["id"], "file": str(output)}, f"Template '{found['name']}' is in {output}.")


@command(app, "delete")
def delete(cli: Cli, ref: TemplateRef, yes: Yes = False) -> None:
    """Remove a template with its versions; slices made of it go on."""
    found = find_template(cli.api, ref)
    question = f"Delete the template {found['id']} '{found['name']}' with {found['version']} versions?"
    cli.sure(question, yes=yes, told=taken_for("template", ref, found))
    cli.api.change("DELETE", f"/templates/{found['id']}")
    cli.out.result(found, f"Template {found['id']} '{found['name']}' is deleted.")
