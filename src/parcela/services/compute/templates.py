"""Templates: drawn topologies. Every change of the drawing is a new version; a version never changes."""

import json
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from typing import Any

from parcela.core.errors import ParcelaError, Problem, invalid
from parcela.core.permissions import Permission
from parcela.core.topology.catalogue import Catalogue
from parcela.core.topology.cloud import from_cloud
from parcela.core.topology.cloud_writer import to_cloud
from parcela.core.topology.document import TopologyDocument, dump_document, parse_document, template_invalid
from parcela.core.topology.references import Reference, resolve
from parcela.core.topology.validate import validate
from parcela.models import Template, TemplateVersion
from parcela.repositories.paging import Page, PageRequest
from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.access import Caller
from parcela.services.allowed import TemplateFacts
from parcela.services.allowed_compute import ALLOWED
from parcela.services.catalogue.image_words import ImageWords
from parcela.services.catalogue.rules import check_fields
from parcela.services.catalogue.snapshot import load_catalogue, load_flavours
from parcela.services.compute.template_drafts import NO_LIMITS, Export, TemplateDraft, TemplateLimits
from parcela.services.compute.template_references import launch_catalogue, show_names, targets
from parcela.services.projects.launching import check_launch
from parcela.services.quota_rules import ceiling, require_room

NATIVE, CLOUD = "native", "cloud"
TemplateRow = dict[str, Any]
"""Columns of a template with ``owner`` (username) and ``document`` (of the newest version)."""


MIB = 1024**2


class TemplateService:
    """Owners and holders of ``template:write_all`` write; public templates are read by everybody."""

    def __init__(self, limits: TemplateLimits = NO_LIMITS, nat_networks: tuple[IPv4Network, ...] = ()) -> None:
        """Take how many versions are kept, the quotas, and the ranges that no address of a template may be from."""
        self._limits = limits
        self._nat_networks = nat_networks

    async def page(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        request: PageRequest,
        *,
        owner_id: int | None = None,
        visibility: str | None = None,
        project_id: int | None = None,
        name: str | None = None,
    ) -> Page:
        """Templates the caller sees: public ones, their own, their projects', or all with ``template:read_all``."""
        return await uow.templates.page(
            request,
            visible_to=caller.list_filter(Permission.TEMPLATE_READ_ALL),
            projects=caller.projects.keys(),
            project_id=project_id,
            owner_id=owner_id,
            visibility=visibility,
            name=name,
        )

    async def get(self, uow: ReadUnitOfWork, caller: Caller, template_id: int) -> TemplateRow:
        """One template with its newest document."""
        row = await uow.templates.detail(template_id)
        _facts(row).check_visible(caller)
        return await show_names(uow, caller, row, template_id, row["version"])

    async def details(self, uow: ReadUnitOfWork, caller: Caller, template_id: int) -> TemplateRow:
        """One template as ``get`` gives it, with its ``allowed_actions``."""
        return with_allowed(caller, await self.get(uow, caller, template_id))

    @staticmethod
    async def check_create(uow: UnitOfWork, caller: Caller, project_id: int | None) -> None:
        """Raise when the caller may not make templates, or not in this project."""
        caller.require(Permission.TEMPLATE_CREATE)
        await check_launch(uow, caller, project_id)

    async def create(self, uow: UnitOfWork, caller: Caller, draft: TemplateDraft) -> TemplateRow:
        """Save a new template as version 1.

        Raises:
            ParcelaError: ``invalid`` ``template_invalid`` with all problems at once; ``too_large``
                ``template_too_large`` when there are too many VMs, networks or edges.
        """
        project_id = draft.project_after(None)
        await self.check_create(uow, caller, project_id)
        check_fields(Template, "template_invalid", draft.fields())
        document, references = await self._checked(uow, caller, draft.document)
        await self._require_room(uow, caller, caller.user_id, document, templates=1)
        now = uow.clock()
        template = await uow.templates.add(
            Template(
                **draft.fields(),
                owner_id=caller.user_id,
                project_id=project_id,
                version=1,
                created_at=now,
                updated_at=now,
            )
        )
        await self._save(uow, caller, template, document, references)
        _note(uow, "template.created", caller, template)
        return await self._answer(uow, caller, template.id)

    async def update(
        self,
        uow: UnitOfWork,
        caller: Caller,
        template_id: int,
        wanted: TemplateDraft | Callable[[TemplateRow], TemplateDraft],
        check: Callable[[TemplateRow], None] = lambda _: None,
    ) -> TemplateRow:
        """Replace a template; another document makes a new version.

        ``check`` sees the locked one first, and so does ``wanted`` where it keeps something of what is there.
        """
        template = await uow.templates.lock(template_id)
        ALLOWED.check(caller, _facts(template), "update")
        before = await self._answer(uow, caller, template_id)
        check(before)
        draft = wanted(before) if callable(wanted) else wanted
        project_id = draft.project_after(template.project_id)
        if (project_id, draft.visibility) != (template.project_id, template.visibility):
            ALLOWED.check(caller, _facts(template), "share")
        if project_id != template.project_id:
            await check_launch(uow, caller, project_id)
        check_fields(Template, "template_invalid", draft.fields())
        document, references = await self._checked(uow, caller, draft.document)
        meant = {(one.kind, one.name): one.target_id for one in references}
        before_meant = await targets(uow, caller, template_id, template.version)
        changed = before["document"] != document or before_meant != meant
        said = draft.fields() | {"project_id": project_id}
        renamed = any(before[field] != value for field, value in said.items())
        if not changed and not renamed:
            return before
        for field, value in said.items():
            setattr(template, field, value)
        template.updated_at = uow.clock()
        if changed:
            await self._require_room(uow, caller, template.owner_id, document)
            template.version += 1
            await self._save(uow, caller, template, document, references)
        await uow.flush()  # the answer below is read from the row
        _note(uow, "template.updated", caller, template)
        return await self._answer(uow, caller, template_id)

    async def _answer(self, uow: ReadUnitOfWork, caller: Caller, template_id: int) -> TemplateRow:
        """What ``details`` says to who may change the template."""
        row = await uow.templates.detail(template_id)
        return with_allowed(caller, await show_names(uow, caller, row, template_id, row["version"]))

    async def delete(
        self, uow: UnitOfWork, caller: Caller, template_id: int, check: Callable[[TemplateRow], None] = lambda _: None
    ) -> None:
        """Remove a template with its versions; slices made from it go on."""
        template = await uow.templates.lock(template_id)
        ALLOWED.check(caller, _facts(template), "delete")
        check(await self._answer(uow, caller, template_id))
        _note(uow, "template.deleted", caller, template)
        await uow.templates.delete(template)

    async def versions(self, uow: ReadUnitOfWork, caller: Caller, template_id: int, request: PageRequest) -> Page:
        """Versions without their documents."""
        await self.get(uow, caller, template_id)
        return await uow.templates.versions(template_id, request)

    async def version(self, uow: ReadUnitOfWork, caller: Caller, template_id: int, number: int) -> dict[str, Any]:
        """One version with its document."""
        _facts(await uow.templates.detail(template_id)).check_visible(caller)
        row = await uow.templates.version(template_id, number)
        return await show_names(uow, caller, row, template_id, number)

    async def launchable(
        self, uow: ReadUnitOfWork, caller: Caller, template_id: int, number: int
    ) -> tuple[TopologyDocument, Catalogue]:
        """A version as it is stored, and what the caller may use under the names it has for it.

        Raises:
            ParcelaError: ``invalid`` ``template_invalid`` when an image or flavour of it was removed.
        """
        _facts(await uow.templates.detail(template_id)).check_visible(caller)
        document = parse_document((await uow.templates.version(template_id, number))["document"])
        version = (template_id, number)
        return document, await launch_catalogue(uow, caller, document, version, self._nat_networks)

    async def validate(self, uow: ReadUnitOfWork, caller: Caller, document: object) -> tuple[Problem, ...]:
        """Everything that keeps a document from being saved and launched; nothing when it is fine.

        A token needs any scope of ``template``.
        """
        caller.require_reach("template")
        try:
            parsed = parse_document(document)
        except ParcelaError as error:
            return error.problems
        return validate(parsed, await load_catalogue(uow, caller, self._nat_networks))

    async def export(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        template_id: int,
        *,
        form: str = NATIVE,
        version: int | None = None,
    ) -> Export:
        """A template as ``import_draft`` reads it.

        Args:
            uow: where to read.
            caller: sees the template.
            template_id: row of the template.
            form: ``native`` (name, description, document) or ``cloud`` (the older document).
            version: an older version; None for the newest.
        """
        row = await self.get(uow, caller, template_id)
        document = row["document"]
        if version is not None:
            document = (await self.version(uow, caller, template_id, version))["document"]
        if form == CLOUD:
            content, lost = to_cloud(parse_document(document), await load_flavours(uow))
            return Export(row["name"], content, lost)
        return Export(row["name"], {"name": row["name"], "description": row["description"], "document": document})

    async def import_draft(
        self,
        uow: ReadUnitOfWork,
        caller: Caller,
        raw: object,
        *,
        form: str = NATIVE,
        name: str | None = None,
        before: object = None,
    ) -> TemplateDraft:
        """Read a file of ``export``, or a bare document, into something ``create`` takes.

        Args:
            uow: where to look images up.
            caller: who imports.
            raw: decoded JSON; anything.
            form: ``native`` or ``cloud``.
            name: name of the new template; needed unless the file has one.
            before: stored document that a ``cloud`` one replaces, of which it keeps what that form does not say.
        """
        description, document = "", raw
        if form == CLOUD:
            words = await ImageWords.load(uow, caller)
            old = None if before is None else parse_document(before)
            document = dump_document(from_cloud(raw, words.find, old))
        elif isinstance(raw, dict) and "document" in raw:
            _refuse_unknown(raw)
            document = raw["document"]
            name = name or _text(raw, "name")
            description = _text(raw, "description")
        if not name:
            text = "Give the new template a name: the file has none."
            raise invalid("template_name_missing", text, Problem("query.name", text, "missing"))
        return TemplateDraft(name=name, document=document, description=description)

    async def _checked(
        self, uow: ReadUnitOfWork, caller: Caller, raw: object
    ) -> tuple[dict[str, Any], tuple[Reference, ...]]:
        """A document that can be launched, and what its names mean."""
        document = parse_document(raw)
        catalogue = await load_catalogue(uow, caller, self._nat_networks)
        problems = validate(document, catalogue)
        if problems:
            raise template_invalid(problems)
        return dump_document(document), resolve(document, catalogue)

    async def _save(
        self,
        uow: UnitOfWork,
        caller: Caller,
        template: Template,
        document: dict[str, Any],
        references: tuple[Reference, ...],
    ) -> None:
        version = TemplateVersion(
            template_id=template.id,
            version=template.version,
            document=document,
            size_bytes=size_of(document),
            created_by=caller.user_id,
            created_at=uow.clock(),
        )
        await uow.templates.add_version(version)
        await uow.template_references.add_all(version.id, references)
        surplus = template.version - self._limits.versions_kept
        if surplus > 0:
            await uow.templates.thin_out(template.id, surplus)

    async def _require_room(
        self, uow: UnitOfWork, caller: Caller, owner_id: int, document: dict[str, Any], *, templates: int = 0
    ) -> None:
        """Hold the owner's quota against one more document."""
        await uow.users.lock(owner_id)  # two at the same time would both be the last one
        count, size_bytes = await uow.templates.sizes_of(owner_id)
        most = ceiling(caller, self._limits.templates)
        require_room("templates", "templates", used=count, more=templates, most=most)
        most_bytes, more = ceiling(caller, self._limits.size_mib) * MIB, size_of(document)
        require_room("templates_bytes", "bytes of templates", used=size_bytes, more=more, most=most_bytes)


def size_of(document: dict[str, Any]) -> int:
    """Bytes of a document as it is stored."""
    return len(json.dumps(document, ensure_ascii=False).encode())


def with_allowed(caller: Caller, row: Mapping[str, Any]) -> TemplateRow:
    """A row of a template with ``allowed_actions``: what the caller may do with it."""
    return {**row, "allowed_actions": ALLOWED.of(caller, _facts(dict(row)))}


def _text(raw: dict[str, Any], field: str) -> str:
    value = raw.get(field, "")
    if not isinstance(value, str):
        raise template_invalid([Problem(field, "This must be text.", "wrong_type")])
    return value


def _refuse_unknown(raw: dict[str, Any]) -> None:
    unknown = sorted(set(raw) - {"name", "description", "document"})[:20]
    if unknown:
        problems = [Problem(field[:64], "There is no such field here.", "unknown_field") for field in unknown]
        raise template_invalid(problems)


def _facts(template: Template | TemplateRow) -> TemplateFacts:
    names = ("id", "owner_id", "project_id", "visibility")
    row = template if isinstance(template, dict) else {name: getattr(template, name) for name in names}
    return TemplateFacts(**{name: row[name] for name in names})


def _note(uow: UnitOfWork, event_type: str, caller: Caller, template: Template) -> None:
    data = {"id": template.id, "name": template.name, "version": template.version, "visibility": template.visibility}
    facts = {"owner_id": template.owner_id, "project_id": template.project_id}
    uow.add_event(event_type, actor_id=caller.user_id, data=data, **facts)
