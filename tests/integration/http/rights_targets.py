"""What the requests of the rights table need: things to act on, and bodies."""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from parcela.models import Webhook, WebhookDelivery
from tests.integration.catalogue.disks import raw_disk
from tests.integration.http import inventory
from tests.integration.http.lab import ONE_VM, PASSWORD, Lab

Made = dict[str, Any]


async def _own_user(lab: Lab) -> Made:
    return {"id": lab.people["owner"].id}


async def _session(lab: Lab) -> Made:
    """A further session of the owner; its number is no row's."""
    await lab.login("owner")
    sessions = (await lab.call("GET", "/sessions/?sort=-id")).json()["items"]
    return {"id": next(session["id"] for session in sessions if not session["current"])}


async def _webhook(lab: Lab) -> Made:
    """A webhook of the owner; they had the right to make it once."""
    async with lab.services.uows.write() as uow:
        facts = {"created_at": uow.clock(), "updated_at": uow.clock()}
        row = Webhook(
            owner_id=lab.people["owner"].id,
            name=lab.unique("webhook"),
            url="https://hooks.example/parcela",
            event_types=[],
            salt="salt",
            cursor=await uow.events.last_id(),
            **facts,
        )
        made = await uow.webhooks.add(row)
        await uow.commit()
    return {"id": made.id}


async def _webhook_delivery(lab: Lab) -> Made:
    """A delivery with the same id as its webhook: the table knows one id per target."""
    made = await _webhook(lab)
    async with lab.services.uows.write() as uow:
        facts = {"event_id": 1, "event_type": "vm.state", "created_at": uow.clock()}
        await uow.webhook_deliveries.add(WebhookDelivery(id=made["id"], webhook_id=made["id"], **facts))
        await uow.commit()
    return made


TARGETS: dict[str, Callable[[Lab], Awaitable[Made]]] = {
    "own_user": _own_user,
    "session": _session,
    "user": Lab.user,
    "role": Lab.role,
    "token": Lab.token,
    "webhook": _webhook,
    "webhook_delivery": _webhook_delivery,
    "flavour": Lab.flavour,
    "zone": Lab.zone,
    "host": Lab.host,
    "machine": inventory.machine,
    "machine_archived": inventory.archived_machine,
    "machine_photo": inventory.machine_with_photo,
    "attachment": inventory.attachment,
    "maintenance": inventory.record,
    "plan": inventory.plan,
    "image": Lab.image,
    "template": Lab.template,
    "project": Lab.project,
    "invitation": Lab.invitation,
    "operation": Lab.operation,
    "slice_operation_held": Lab.slice_operation,
    "slice_op_failed": partial(Lab.slice_operation, state="failed"),
    **{f"operation_{state}": partial(Lab.operation, state=state) for state in ("held", "failed")},
    **{f"vm_{state}": partial(Lab.vm, state=state) for state in ("running", "stopped", "paused")},
    **{f"slice_{state}": partial(Lab.slice_, state=state) for state in ("draft", "running", "stopped", "paused")},
}
"""All of them belong to the owner, where they belong to somebody."""


async def _refresh(lab: Lab, _made: Made) -> Made:
    return {"refresh_token": (await lab.login("owner"))["refresh_token"]}


async def _import(lab: Lab, _made: Made) -> Made:
    folder = lab.services.settings.data_dir / "import"
    folder.mkdir(exist_ok=True)
    path = folder / f"{lab.unique('import')}.img"
    path.write_bytes(raw_disk())
    return {"name": lab.unique("image"), "path": str(path)}


def _fixed(**body: Any) -> Callable[[Lab, Made], Awaitable[Made]]:
    async def make(lab: Lab, made: Made) -> Made:
        names = {"unique": lab.unique("thing"), "target": made.get("id"), "code": made.get("code")}
        return {
            key: names[value[1:]] if isinstance(value, str) and value.startswith("$") else value
            for key, value in body.items()
        }

    return make


async def _user(lab: Lab, _made: Made) -> Made:
    name = lab.unique("user")
    return {"email": f"{name}@class.example", "username": name, "password": PASSWORD}


async def _registration(lab: Lab, _made: Made) -> Made:
    return {"nombre_completo": "Ana", "username": lab.unique("user"), "password": PASSWORD, "rol": "cliente"}


async def _vms_user(lab: Lab, _made: Made) -> Made:
    name = lab.unique("user")
    return {"name": "Ana", "email": f"{name}@class.example", "password": PASSWORD, "rol": "cliente"}


async def _member(lab: Lab, _made: Made) -> Made:
    return {"user": (await lab.user())["email"], "role": "viewer"}


CLOUD: Made = {
    "topologia": {"nodes": [{"id": "1", "label": "web", "x": 0, "y": 0}], "edges": []},
    "recursos": {"1": {"name": "web", "vcpu": None, "ram_gb": None, "disk_gb": None, "os": "tiny", "flavour": "tiny"}},
    "subred": {"public_access": []},
}


async def _cloud_registration(lab: Lab, _made: Made) -> Made:
    return {"email": f"{lab.unique('user')}@class.example", "full_name": "Ana", "password": PASSWORD}


FORM_BODIES: dict[str, Callable[[Lab, Made], Awaitable[Made]]] = {
    "POST /auth/register": _cloud_registration,
    "POST /auth/login": _fixed(email="owner", password=PASSWORD),
}
BODIES: dict[str, Callable[[Lab, Made], Awaitable[Made]]] = {
    "POST /templates/guardar": _fixed(nombre="$unique", **CLOUD),
    "PUT /templates/{template_id}": _fixed(nombre="$unique", **CLOUD),
    "POST /slices": _fixed(template_id="$target"),
    "POST /deployments/trigger": _fixed(slice_id="$target"),
    "POST /login": _fixed(email="owner", password=PASSWORD),
    "POST /users/": _vms_user,
    "PUT /users/{user_id}": _fixed(name="Somebody"),
    "POST /vms/": _fixed(name="$unique", os="tiny", flavour="tiny"),
    "PUT /vms/{vm_id}": _fixed(cores=2),
    "POST /api/auth/login": _fixed(username="owner", password=PASSWORD),
    "POST /api/auth/register": _registration,
    "POST /api/maquinas/agregar": _fixed(codigo_equipo="$unique", tipo_equipo="PC"),
    "PUT /api/maquinas/actualizar": _fixed(codigo_equipo="$code", area="Lab 2"),
    "PUT /api/maquinas/actualizar/{codigo}": _fixed(area="Lab 2"),
    "DELETE /api/maquinas/eliminar": _fixed(codigo_equipo="$code"),
    "POST /api/mantenimiento/agregar": _fixed(codigo_maquina="$code", tipo="preventivo"),
    "POST /api/mantenimientos/agregar": _fixed(codigo_maquina="$code", tipo="preventivo"),
    "POST /api/v1/login": _fixed(email="owner", password=PASSWORD),
    "POST /api/v1/token/refresh": _refresh,
    "POST /api/v1/users/": _user,
    "POST /api/v1/second-factor": _fixed(password=PASSWORD),
    "POST /api/v1/second-factor/confirm": _fixed(code="wrong!"),
    "POST /api/v1/second-factor/recovery-codes": _fixed(code="wrong!"),
    "POST /api/v1/second-factor/disable": _fixed(password=PASSWORD, code="wrong!"),
    "POST /api/v1/password-resets": _fixed(email="$unique"),
    "POST /api/v1/password-resets/complete": _fixed(token="wrong", new_password=PASSWORD),
    "PATCH /api/v1/users/me": _fixed(full_name="Somebody"),
    "POST /api/v1/users/me/password": _fixed(old_password=PASSWORD, new_password="another one, long enough"),
    "PATCH /api/v1/users/{user_id}": _fixed(full_name="Somebody"),
    "POST /api/v1/webhooks/": _fixed(name="$unique", url="https://hooks.example/parcela"),
    "PATCH /api/v1/webhooks/{webhook_id}": _fixed(name="$unique"),
    "POST /api/v1/roles/": _fixed(name="$unique", permissions=["host:read"]),
    "PATCH /api/v1/roles/{role_id}": _fixed(description="Changed"),
    "POST /api/v1/tokens/": _fixed(name="laptop", scopes=["*"]),
    "POST /api/v1/projects/": _fixed(name="$unique"),
    "PATCH /api/v1/projects/{project_id}": _fixed(description="Changed"),
    "POST /api/v1/projects/{project_id}/members": _member,
    "PATCH /api/v1/projects/{project_id}/members/{user_id}": _fixed(role="member"),
    "POST /api/v1/projects/{project_id}/invitations": _fixed(email="somebody@class.example"),
    "POST /api/v1/users/me/invitations/confirm": _fixed(token="wrong"),
    "PUT /api/v1/projects/{project_id}/quota": _fixed(vms=5),
    "PUT /api/v1/users/{user_id}/quota": _fixed(vms=5),
    "POST /api/v1/flavours/": _fixed(name="$unique", vcpus=1, memory_mib=128, disk_gib=1),
    "PATCH /api/v1/flavours/{flavour_id}": _fixed(vcpus=2),
    "POST /api/v1/images/import": _import,
    "PATCH /api/v1/images/{image_id}": _fixed(description="Changed"),
    "POST /api/v1/zones/": _fixed(name="$unique", provider="simulated"),
    "PATCH /api/v1/zones/{zone_id}": _fixed(description="Changed"),
    "POST /api/v1/hosts/": _fixed(name="$unique", zone_id="$target", vcpus=1, memory_mib=1024, disk_gib=10),
    "PATCH /api/v1/hosts/{host_id}": _fixed(state="draining"),
    "POST /api/v1/machines/": _fixed(code="$unique", type="PC"),
    "PATCH /api/v1/machines/{machine_id}": _fixed(area="Lab 2"),
    "POST /api/v1/maintenance-records/": _fixed(machine_id="$target", kind="corrective"),
    "PATCH /api/v1/maintenance-records/{record_id}": _fixed(notes="Changed"),
    "POST /api/v1/maintenance-records/{record_id}/finish": _fixed(notes="Done"),
    "POST /api/v1/maintenance-plans/": _fixed(machine_id="$target", title="Clean", next_due_on="2040-01-01"),
    "PATCH /api/v1/maintenance-plans/{plan_id}": _fixed(title="Changed"),
    "POST /api/v1/templates/": _fixed(name="$unique", document=ONE_VM),
    "POST /api/v1/templates/import": _fixed(name="$unique", document=ONE_VM),
    "POST /api/v1/templates/validate": _fixed(document=ONE_VM),
    "PUT /api/v1/templates/{template_id}": _fixed(name="$unique", document=ONE_VM),
    "POST /api/v1/slices/": _fixed(template_id="$target"),
    "POST /api/v1/slices/{slice_id}/extend": _fixed(expires_in_s=3600),
    "POST /api/v1/virtual-machines/": _fixed(name="$unique", os="tiny", flavour="tiny"),
    "PUT /api/v1/virtual-machines/{vm_id}": _fixed(cores=2),
    "POST /api/v1/virtual-machines/{vm_id}/console": _fixed(kind="serial"),
}
"""JSON bodies by route; the others have none (uploads have theirs in ``request_of``)."""
FILE_BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/machines/{machine_id}/attachments": {"content": b"anything", "params": {"name": "a.txt"}},
    "PUT /api/v1/machines/{machine_id}/photo": {"content": inventory.PNG},
    "POST /api/v1/projects/{project_id}/invitations/csv": {"content": "somebody@class.example,viewer\n"},
}
QUERIES: dict[str, dict[str, str]] = {"GET /api/maquinas/buscar": {"termino": "pc"}}
"""What a route without a body has to be told."""
INTO_PROJECTS = {
    "POST /api/v1/templates/",
    "POST /api/v1/slices/",
    "POST /api/v1/virtual-machines/",
}
"""Creations that may name a project."""


def filled_path(path: str, made: Made) -> str:
    """The path with the ids of the thing; an operation of a slice knows both of its ids, a project a member's."""
    if "{operation_id}" in path and made.get("slice_id"):
        path = path.replace("{slice_id}", str(made["slice_id"]))
    if "{project_id}" in path and made.get("user_id"):
        path = path.replace("{user_id}", str(made["user_id"]))
    if "{invitation_id}" in path and made.get("invitation_id"):
        path = path.replace("{invitation_id}", str(made["invitation_id"]))
    words = {"version": "1", "kind": "serial", "action": "reset", "locale": "es"}
    for name, word in {**words, "codigo": made.get("code"), "code": made.get("code")}.items():
        path = path.replace(f"{{{name}}}", str(word))
    return re.sub(r"\{\w+_id\}", str(made.get("id")), path)


async def request_of(lab: Lab, route: str, made: Made) -> dict[str, Any]:
    """What to give to the HTTP client for a route: body and query."""
    if route == "POST /api/v1/images/":
        return {"content": raw_disk(), "params": {"name": lab.unique("image")} | lab.in_project}
    if route in QUERIES:
        return {"params": QUERIES[route]}
    if route in FILE_BODIES:
        return FILE_BODIES[route]
    if route in FORM_BODIES:
        return {"data": await FORM_BODIES[route](lab, made)}
    if route not in BODIES:
        return {}
    return {"json": await BODIES[route](lab, made) | (lab.in_project if route in INTO_PROJECTS else {})}
