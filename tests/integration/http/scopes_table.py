"""Which scopes a personal token needs for a route: one line per route of ``rights_table.py`` that takes a token.

*by* is whose token it is: the owner's, or that of a manager of the project or the administrator where owners may not.
Several scopes are all needed; ``+role`` is the rights that the role in question holds, because people give no more than
they have. ``login`` is no scope: a token is refused whatever it holds. ``any`` needs a token, but no scope of it.
"""

from dataclasses import dataclass

TABLE = """
# route                                                                by       scopes
GET    /openapi.json                                                   -        -
GET    /api/v1/system/health                                           -        -
POST   /api/v1/login                                                   -        -
POST   /api/v1/token/refresh                                           -        -
POST   /api/v1/password-resets                                         -        -
POST   /api/v1/password-resets/complete                                -        -
POST   /login                                                          -        -
POST   /auth/register                                                  -        -
POST   /auth/login                                                     -        -
GET    /auth/logout                                                    -        -
GET    /                                                               -        -
GET    /healthz                                                        -        -
GET    /static/images/pc.png                                           -        -
GET    /registro                                                       -        -
POST   /api/auth/login                                                 -        -
POST   /api/auth/register                                              -        -
GET    /api/sistema/health                                             -        -

POST   /api/v1/logout                                                  owner    login
GET    /api/v1/sessions/                                               owner    login
DELETE /api/v1/sessions/                                               owner    login
DELETE /api/v1/sessions/{session_id}                                   owner    login
GET    /api/v1/second-factor                                           owner    login
POST   /api/v1/second-factor                                           owner    login
POST   /api/v1/second-factor/confirm                                   owner    login
POST   /api/v1/second-factor/recovery-codes                            owner    login
POST   /api/v1/second-factor/disable                                   owner    login
POST   /api/v1/users/me/password                                       owner    login
GET    /api/v1/tokens/                                                 owner    login
POST   /api/v1/tokens/                                                 owner    login
DELETE /api/v1/tokens/{token_id}                                       owner    login

GET    /api/v1/users/me                                                owner    any
GET    /home                                                           owner    any
GET    /plantillas                                                     owner    any
GET    /plantillas/create                                              owner    any
GET    /projects                                                       owner    any
GET    /plantillas/{template_id}                                       owner    any
GET    /plantillas/{template_id}/edit                                  owner    any
GET    /projects/{slice_id}                                            owner    any
GET    /vnc/{vm_id}                                                    owner    any
GET    /api/v1/users/{user_id}                                         owner    user:update
GET    /users/{user_id}                                                owner    user:update
GET    /api/v1/users/me/quota                                          owner    user:update
GET    /api/v1/users/{user_id}/quota                                   owner    user:update
GET    /api/v1/permissions                                             owner    any
POST   /api/v1/templates/validate                                      owner    template:read
GET    /api/v1/events                                                  owner    any
GET    /api/v1/events/stream                                           owner    any
WS     /api/v1/events/ws                                               owner    any
WS     /api/v1/virtual-machines/{vm_id}/console/{kind}                 owner    any

PATCH  /api/v1/users/me                                                owner    user:update
GET    /api/v1/users/                                                  admin    user:read
POST   /api/v1/users/                                                  admin    user:write +role
PATCH  /api/v1/users/{user_id}                                         admin    user:write +role
DELETE /api/v1/users/{user_id}                                         admin    user:write +role
DELETE /api/v1/users/{user_id}/second-factor                           admin    user:reset_factor +role
PUT    /api/v1/users/{user_id}/quota                                   admin    quota:write user:read

GET    /api/v1/projects/                                               member   project:read
POST   /api/v1/projects/                                               admin    project:write_all
GET    /api/v1/projects/{project_id}                                   member   project:read
PATCH  /api/v1/projects/{project_id}                                   manager  project:update
DELETE /api/v1/projects/{project_id}                                   admin    project:write_all project:read_all
GET    /api/v1/projects/{project_id}/members                           member   project:read
POST   /api/v1/projects/{project_id}/members  admin  project:write_all project:read_all user:read
PATCH  /api/v1/projects/{project_id}/members/{user_id}                 manager  project:members
DELETE /api/v1/projects/{project_id}/members/{user_id}                 manager  project:members
GET    /api/v1/projects/{project_id}/invitations                       manager  project:read
POST   /api/v1/projects/{project_id}/invitations                       manager  project:members
POST   /api/v1/projects/{project_id}/invitations/csv                   manager  project:members
DELETE /api/v1/projects/{project_id}/invitations/{invitation_id}       manager  project:members
POST   /api/v1/projects/{project_id}/accept                            member   project:join
POST   /api/v1/projects/{project_id}/decline                           member   project:join
GET    /api/v1/users/me/invitations                                    owner    project:read
POST   /api/v1/users/me/invitations/confirm                            owner    project:join
GET    /api/v1/projects/{project_id}/quota                             member   project:read
PUT    /api/v1/projects/{project_id}/quota                             admin    quota:write project:read_all

GET    /api/v1/roles/                                                  admin    role:read
POST   /api/v1/roles/                                                  admin    role:write +role
GET    /api/v1/roles/{role_id}                                         admin    role:read
PATCH  /api/v1/roles/{role_id}                                         admin    role:write +role
DELETE /api/v1/roles/{role_id}                                         admin    role:write +role

GET    /api/v1/audit                                                   admin    audit:read
GET    /api/v1/audit/export                                            admin    audit:read
GET    /api/v1/audit/refusals                                          admin    audit:read
GET    /metrics                                                        admin    system:read
GET    /api/sistema/metrics                                            admin    system:read

GET    /api/v1/webhooks/                                               owner    webhook:read
POST   /api/v1/webhooks/                                               admin    webhook:create
GET    /api/v1/webhooks/{webhook_id}                                   owner    webhook:read
PATCH  /api/v1/webhooks/{webhook_id}                                   owner    webhook:update
DELETE /api/v1/webhooks/{webhook_id}                                   owner    webhook:delete
POST   /api/v1/webhooks/{webhook_id}/rotate-secret                     owner    webhook:rotate
GET    /api/v1/webhooks/{webhook_id}/deliveries                        owner    webhook:read
POST   /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/resend   owner    webhook:resend

GET    /api/v1/flavours/                                               owner    catalogue:read
POST   /api/v1/flavours/                                               admin    catalogue:write
GET    /api/v1/flavours/{flavour_id}                                   owner    catalogue:read
PATCH  /api/v1/flavours/{flavour_id}                                   admin    catalogue:write
DELETE /api/v1/flavours/{flavour_id}                                   admin    catalogue:write
GET    /flavours                                                       owner    catalogue:read
GET    /api/v1/images/                                                 owner    catalogue:read
POST   /api/v1/images/                                                 owner    image:create
POST   /api/v1/images/import                                           admin    catalogue:write
GET    /api/v1/images/{image_id}                                       owner    catalogue:read
PATCH  /api/v1/images/{image_id}                                       owner    image:update
DELETE /api/v1/images/{image_id}                                       owner    image:delete
GET    /api/v1/zones/                                                  owner    catalogue:read
POST   /api/v1/zones/                                                  admin    catalogue:write
GET    /api/v1/zones/{zone_id}                                         owner    catalogue:read
PATCH  /api/v1/zones/{zone_id}                                         admin    catalogue:write
DELETE /api/v1/zones/{zone_id}                                         admin    catalogue:write
GET    /api/v1/hosts/                                                  admin    host:read
POST   /api/v1/hosts/                                                  admin    host:write
GET    /api/v1/hosts/{host_id}                                         admin    host:read
PATCH  /api/v1/hosts/{host_id}                                         admin    host:write
DELETE /api/v1/hosts/{host_id}                                         admin    host:write

GET    /api/v1/machines/                                               admin    machine:read
POST   /api/v1/machines/                                               admin    machine:write
GET    /api/v1/machines/dashboard                                      admin    machine:read maintenance:read
GET    /api/v1/machines/{machine_id}                                   admin    machine:read
PATCH  /api/v1/machines/{machine_id}                                   admin    machine:write
DELETE /api/v1/machines/{machine_id}                                   admin    machine:write
POST   /api/v1/machines/{machine_id}/archive                           admin    machine:write
POST   /api/v1/machines/{machine_id}/restore                           admin    machine:write
GET    /api/v1/machines/{machine_id}/history                           admin    machine:read maintenance:read
GET    /api/v1/machines/{machine_id}/activity                          admin    machine:read
GET    /api/v1/machines/{machine_id}/report                            admin    machine:read maintenance:read
GET    /api/v1/machines/{machine_id}/label                             admin    machine:read
GET    /api/v1/machines/{machine_id}/photo                             admin    machine:read
PUT    /api/v1/machines/{machine_id}/photo                             admin    machine:write machine:read
DELETE /api/v1/machines/{machine_id}/photo                             admin    machine:write
GET    /api/v1/machines/{machine_id}/attachments                       admin    maintenance:read
POST   /api/v1/machines/{machine_id}/attachments                       admin    maintenance:write
GET    /api/v1/attachments/{attachment_id}                             admin    maintenance:read
DELETE /api/v1/attachments/{attachment_id}                             admin    maintenance:write
GET    /api/v1/reports/maintenance                                     admin    machine:read maintenance:read
GET    /api/v1/maintenance-records/                                    admin    maintenance:read
POST   /api/v1/maintenance-records/                                    admin    maintenance:write
GET    /api/v1/maintenance-records/{record_id}                         admin    maintenance:read
PATCH  /api/v1/maintenance-records/{record_id}                         admin    maintenance:write
DELETE /api/v1/maintenance-records/{record_id}                         admin    maintenance:write
POST   /api/v1/maintenance-records/{record_id}/begin                   admin    maintenance:write
POST   /api/v1/maintenance-records/{record_id}/finish                  admin    maintenance:write
GET    /api/v1/maintenance-plans/                                      admin    maintenance:read
POST   /api/v1/maintenance-plans/                                      admin    maintenance:write
GET    /api/v1/maintenance-plans/{plan_id}                             admin    maintenance:read
PATCH  /api/v1/maintenance-plans/{plan_id}                             admin    maintenance:write
DELETE /api/v1/maintenance-plans/{plan_id}                             admin    maintenance:write
POST   /api/v1/maintenance-plans/{plan_id}/open                        admin    maintenance:write

GET    /api/v1/templates/                                              owner    template:read
POST   /api/v1/templates/                                              owner    template:create
POST   /api/v1/templates/import                                        owner    template:create
GET    /api/v1/templates/{template_id}                                 owner    template:read
PUT    /api/v1/templates/{template_id}                                 owner    template:update
DELETE /api/v1/templates/{template_id}                                 owner    template:delete
GET    /api/v1/templates/{template_id}/versions                        owner    template:read
GET    /api/v1/templates/{template_id}/versions/{version}              owner    template:read
GET    /api/v1/templates/{template_id}/export                          owner    template:read
POST   /templates/guardar                                              owner    template:create
GET    /templates/mostrar_plantilla                                    owner    template:read
GET    /templates/{template_id}                                        owner    template:read
PUT    /templates/{template_id}                                        owner    template:update
DELETE /templates/{template_id}                                        owner    template:delete
GET    /templates/{template_id}/export                                 owner    template:read

GET    /api/v1/slices/                                                 owner    slice:read
POST   /api/v1/slices/                                                 owner    slice:create template:read
GET    /api/v1/slices/{slice_id}                                       owner    slice:read
GET    /api/v1/slices/{slice_id}/vms                                   owner    slice:read vm:read
POST   /api/v1/slices/{slice_id}/deploy                                owner    slice:deploy
POST   /api/v1/slices/{slice_id}/extend                                owner    slice:update
DELETE /api/v1/slices/{slice_id}                                       owner    slice:delete
POST   /api/v1/slices/{slice_id}/start                                 owner    slice:power
POST   /api/v1/slices/{slice_id}/stop                                  owner    slice:power
POST   /api/v1/slices/{slice_id}/reboot                                owner    slice:power
POST   /api/v1/slices/{slice_id}/suspend                               owner    slice:power
POST   /api/v1/slices/{slice_id}/resume                                owner    slice:power
POST   /api/v1/slices/{slice_id}/reset                                 owner    slice:reset
GET    /slices                                                         owner    slice:read
POST   /slices                                                         owner    slice:create template:read
GET    /slices/{slice_id}/details                                      owner    slice:read
POST   /slices/{slice_id}/destroy                                      owner    slice:delete
DELETE /slices/{slice_id}/destroy                                      owner    slice:delete
POST   /deployments/trigger                                            owner    slice:deploy

GET    /api/v1/virtual-machines/                                       owner    vm:read
POST   /api/v1/virtual-machines/                                       owner    vm:create
GET    /api/v1/virtual-machines/{vm_id}                                owner    vm:read
PUT    /api/v1/virtual-machines/{vm_id}                                owner    vm:update
DELETE /api/v1/virtual-machines/{vm_id}                                owner    vm:delete
GET    /api/v1/virtual-machines/{vm_id}/nics                           owner    vm:read
POST   /api/v1/virtual-machines/{vm_id}/console                        owner    vm:console
POST   /api/v1/virtual-machines/{vm_id}/start                          owner    vm:power
POST   /api/v1/virtual-machines/{vm_id}/stop                           owner    vm:power
POST   /api/v1/virtual-machines/{vm_id}/reboot                         owner    vm:power
POST   /api/v1/virtual-machines/{vm_id}/suspend                        owner    vm:power
POST   /api/v1/virtual-machines/{vm_id}/resume                         owner    vm:power
POST   /api/v1/virtual-machines/{vm_id}/reset                          owner    vm:reset
GET    /vms/                                                           owner    vm:read
POST   /vms/                                                           admin    vm:write_all vm:create
GET    /vms/{vm_id}                                                    owner    vm:read
PUT    /vms/{vm_id}                                                    admin    vm:write_all vm:read_all
DELETE /vms/{vm_id}                                                    admin    vm:write_all vm:read_all
WS     /ws/vms                                                         owner    any

GET    /api/v1/operations/                                             owner    operation:read
GET    /api/v1/operations/{operation_id}                               owner    operation:read
POST   /api/v1/operations/{operation_id}/cancel                        owner    operation:cancel
POST   /api/v1/operations/{operation_id}/retry                         owner    operation:retry vm:power

GET    /users/                                                         admin    user:read
POST   /users/                                                         admin    user:write +role
PUT    /users/{user_id}                                                admin    user:write +role
DELETE /users/{user_id}                                                admin    user:write +role
WS     /ws/users                                                       admin    any
GET    /api/auth/usuarios/activos                                      admin    user:read
GET    /api/maquinas/listar                                            admin    machine:read
GET    /api/maquinas/buscar                                            admin    machine:read
GET    /api/maquinas/dashboard                                         admin    machine:read maintenance:read
POST   /api/maquinas/agregar                                           admin    machine:write
PUT    /api/maquinas/actualizar                                        admin    machine:write machine:read
PUT    /api/maquinas/actualizar/{codigo}                               admin    machine:write machine:read
DELETE /api/maquinas/eliminar                                          admin    machine:write machine:read
DELETE /api/maquinas/eliminar/{codigo}                                 admin    machine:write machine:read
GET    /api/mantenimientos/todos                                       admin    maintenance:read machine:read
GET    /api/mantenimientos/informe                                     admin    maintenance:read machine:read
GET    /api/mantenimientos/historial/{codigo}                          admin    maintenance:read machine:read
GET    /api/mantenimiento/listar/{codigo}                              admin    maintenance:read machine:read
GET    /api/mantenimiento/informe-general                              admin    maintenance:read machine:read
POST   /api/mantenimiento/agregar                                      admin    maintenance:write machine:read
POST   /api/mantenimientos/agregar                                     admin    maintenance:write machine:read
"""


@dataclass(frozen=True)
class Need:
    """One line: the scopes that a token must hold, all of them."""

    by: str
    scopes: tuple[str, ...]


def parse(table: str) -> dict[str, Need]:
    """The lines by route."""
    needs: dict[str, Need] = {}
    for line in table.splitlines():
        if line.strip() and not line.startswith("#"):
            method, path, by, *scopes = line.split()
            assert f"{method} {path}" not in needs, f"{method} {path} is in the table twice"
            needs[f"{method} {path}"] = Need(by, tuple(scopes))
    return needs


NEEDS = parse(TABLE)
