"""Who may call what: one line per route, with the status each kind of caller gets.

Callers: *anonymous* sends nothing; *stranger* and *owner* are clients, and the target is the owner's; *member* and
*manager* are clients too, and for them the owner's target is in the project that they are in with the owner; *admin*
has every right; *reader* is a personal token of the administrator that may look at everything and change nothing.

The target says what the id in the path (or the body) belongs to, see ``rights_targets.py``; ``-`` is no target. The
statuses of WebSockets are 101 for one that opens and the close code for one that is refused.

A stranger gets 404 for somebody else's things. 403 is said where the *kind* of action is closed to the caller whatever
the id is, and so gives nothing away.
"""

from dataclasses import dataclass

CALLERS = ("anonymous", "stranger", "owner", "member", "manager", "admin", "reader")

TABLE = """
# route                                                                target               an. str own mem man adm rdr
GET    /openapi.json                                                   -                    200 200 200 200 200 200 200
GET    /api/v1/system/health                                           -                    200 200 200 200 200 200 200

POST   /api/v1/login                                                   -                    200 200 200 200 200 200 200
POST   /api/v1/token/refresh                                           -                    200 200 200 200 200 200 200
POST   /api/v1/password-resets                                         -                    501 501 501 501 501 501 501
POST   /api/v1/password-resets/complete                                -                    422 422 422 422 422 422 422
POST   /api/v1/logout                                                  fresh_login          401 204 204 204 204 204 403

GET    /api/v1/sessions/                                               -                    401 200 200 200 200 200 403
DELETE /api/v1/sessions/                                               fresh_login          401 204 204 204 204 204 403
DELETE /api/v1/sessions/{session_id}                                   session              401 404 204 404 404 404 403
GET    /api/v1/second-factor                                           -                    401 200 200 200 200 200 403
POST   /api/v1/second-factor                                           -                    401 201 201 201 201 201 403
POST   /api/v1/second-factor/confirm                                   -                    401 422 422 422 422 422 403
POST   /api/v1/second-factor/recovery-codes                            -                    401 409 409 409 409 409 403
POST   /api/v1/second-factor/disable                                   -                    401 409 409 409 409 409 403

GET    /api/v1/users/                                                  -                    401 403 403 403 403 200 200
POST   /api/v1/users/                                                  -                    200 403 403 403 403 201 403
GET    /api/v1/users/me                                                -                    401 200 200 200 200 200 200
PATCH  /api/v1/users/me                                                -                    401 200 200 200 200 200 403
POST   /api/v1/users/me/password                                       fresh_login          401 204 204 204 204 204 403
GET    /api/v1/users/{user_id}                                         own_user             401 404 200 404 404 200 200
PATCH  /api/v1/users/{user_id}                                         user                 401 403 403 403 403 200 403
DELETE /api/v1/users/{user_id}                                         user                 401 403 403 403 403 204 403
DELETE /api/v1/users/{user_id}/second-factor                           user                 401 403 403 403 403 204 403

GET    /api/v1/users/me/quota                                          -                    401 200 200 200 200 200 200
GET    /api/v1/users/{user_id}/quota                                   own_user             401 404 200 404 404 200 200
PUT    /api/v1/users/{user_id}/quota                                   user                 401 403 403 403 403 200 403

GET    /api/v1/projects/                                               -                    401 200 200 200 200 200 200
POST   /api/v1/projects/                                               -                    401 403 403 403 403 201 403
GET    /api/v1/projects/{project_id}                                   project              401 404 404 200 200 200 200
PATCH  /api/v1/projects/{project_id}                                   project              401 404 404 403 200 200 403
DELETE /api/v1/projects/{project_id}                                   project              401 404 404 403 403 204 403
GET    /api/v1/projects/{project_id}/members                           project              401 404 404 200 200 200 200
POST   /api/v1/projects/{project_id}/members                           project              401 404 404 403 403 201 403
PATCH  /api/v1/projects/{project_id}/members/{user_id}                 project              401 404 404 403 200 200 403
DELETE /api/v1/projects/{project_id}/members/{user_id}                 project              401 404 404 403 204 204 403
GET    /api/v1/projects/{project_id}/invitations                       project              401 404 404 403 200 200 200
POST   /api/v1/projects/{project_id}/invitations                       project              401 404 404 403 201 201 403
POST   /api/v1/projects/{project_id}/invitations/csv                   project              401 404 404 403 200 200 403
DELETE /api/v1/projects/{project_id}/invitations/{invitation_id}       invitation           401 404 404 403 204 204 403
POST   /api/v1/projects/{project_id}/accept                            project              401 404 404 200 200 404 403
POST   /api/v1/projects/{project_id}/decline                           project              401 404 404 409 409 404 403
GET    /api/v1/users/me/invitations                                    -                    401 200 200 200 200 200 200
POST   /api/v1/users/me/invitations/confirm                            -                    401 422 422 422 422 422 403
GET    /api/v1/projects/{project_id}/quota                             project              401 404 404 200 200 200 200
PUT    /api/v1/projects/{project_id}/quota                             project              401 404 404 403 403 200 403

GET    /api/v1/permissions                                             -                    401 200 200 200 200 200 200
GET    /api/v1/roles/                                                  -                    401 403 403 403 403 200 200
POST   /api/v1/roles/                                                  -                    401 403 403 403 403 201 403
GET    /api/v1/roles/{role_id}                                         role                 401 403 403 403 403 200 200
PATCH  /api/v1/roles/{role_id}                                         role                 401 403 403 403 403 200 403
DELETE /api/v1/roles/{role_id}                                         role                 401 403 403 403 403 204 403

GET    /api/v1/tokens/                                                 -                    401 200 200 200 200 200 403
POST   /api/v1/tokens/                                                 -                    401 201 201 201 201 201 403
DELETE /api/v1/tokens/{token_id}                                       token                401 404 204 404 404 404 403

GET    /api/v1/audit                                                   -                    401 403 403 403 403 200 200
GET    /api/v1/audit/refusals                                          -                    401 403 403 403 403 200 200
GET    /api/v1/audit/export                                            -                    401 403 403 403 403 200 200
GET    /metrics                                                        -                    401 403 403 403 403 200 200

GET    /api/v1/webhooks/                                               -                    401 200 200 200 200 200 200
POST   /api/v1/webhooks/                                               -                    401 403 403 403 403 201 403
GET    /api/v1/webhooks/{webhook_id}                                   webhook              401 404 200 404 404 200 200
PATCH  /api/v1/webhooks/{webhook_id}                                   webhook              401 404 200 404 404 200 403
DELETE /api/v1/webhooks/{webhook_id}                                   webhook              401 404 204 404 404 204 403
POST   /api/v1/webhooks/{webhook_id}/rotate-secret                     webhook              401 404 200 404 404 200 403
GET    /api/v1/webhooks/{webhook_id}/deliveries                        webhook              401 404 200 404 404 200 200
POST   /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/resend   webhook_delivery     401 404 202 404 404 202 403

GET    /api/v1/flavours/                                               -                    401 200 200 200 200 200 200
POST   /api/v1/flavours/                                               -                    401 403 403 403 403 201 403
GET    /api/v1/flavours/{flavour_id}                                   flavour              401 200 200 200 200 200 200
PATCH  /api/v1/flavours/{flavour_id}                                   flavour              401 403 403 403 403 200 403
DELETE /api/v1/flavours/{flavour_id}                                   flavour              401 403 403 403 403 204 403

GET    /api/v1/images/                                                 -                    401 200 200 200 200 200 200
POST   /api/v1/images/                                                 -                    401 201 201 201 201 201 403
POST   /api/v1/images/import                                           -                    401 403 403 403 403 201 403
GET    /api/v1/images/{image_id}                                       image                401 404 200 200 200 200 404
PATCH  /api/v1/images/{image_id}                                       image                401 404 200 403 200 200 404
DELETE /api/v1/images/{image_id}                                       image                401 404 204 403 204 204 404

GET    /api/v1/zones/                                                  -                    401 200 200 200 200 200 200
POST   /api/v1/zones/                                                  -                    401 403 403 403 403 201 403
GET    /api/v1/zones/{zone_id}                                         zone                 401 200 200 200 200 200 200
PATCH  /api/v1/zones/{zone_id}                                         zone                 401 403 403 403 403 200 403
DELETE /api/v1/zones/{zone_id}                                         zone                 401 403 403 403 403 204 403

GET    /api/v1/hosts/                                                  -                    401 403 403 403 403 200 200
POST   /api/v1/hosts/                                                  zone                 401 403 403 403 403 201 403
GET    /api/v1/hosts/{host_id}                                         host                 401 403 403 403 403 200 200
PATCH  /api/v1/hosts/{host_id}                                         host                 401 403 403 403 403 200 403
DELETE /api/v1/hosts/{host_id}                                         host                 401 403 403 403 403 204 403

GET    /api/v1/machines/                                               -                    401 403 403 403 403 200 200
POST   /api/v1/machines/                                               -                    401 403 403 403 403 201 403
GET    /api/v1/machines/dashboard                                      -                    401 403 403 403 403 200 200
GET    /api/v1/machines/{machine_id}                                   machine              401 403 403 403 403 200 200
PATCH  /api/v1/machines/{machine_id}                                   machine              401 403 403 403 403 200 403
DELETE /api/v1/machines/{machine_id}                                   machine              401 403 403 403 403 204 403
POST   /api/v1/machines/{machine_id}/archive                           machine              401 403 403 403 403 200 403
POST   /api/v1/machines/{machine_id}/restore                           machine_archived     401 403 403 403 403 200 403
GET    /api/v1/machines/{machine_id}/history                           machine              401 403 403 403 403 200 200
GET    /api/v1/machines/{machine_id}/activity                          machine              401 403 403 403 403 200 200
GET    /api/v1/machines/{machine_id}/report                            machine              401 403 403 403 403 200 200
GET    /api/v1/reports/maintenance                                     -                    401 403 403 403 403 200 200
GET    /api/v1/machines/{machine_id}/label                             machine              401 403 403 403 403 200 200
GET    /api/v1/machines/{machine_id}/photo                             machine_photo        401 403 403 403 403 200 200
PUT    /api/v1/machines/{machine_id}/photo                             machine              401 403 403 403 403 200 403
DELETE /api/v1/machines/{machine_id}/photo                             machine_photo        401 403 403 403 403 204 403
GET    /api/v1/machines/{machine_id}/attachments                       machine              401 403 403 403 403 200 200
POST   /api/v1/machines/{machine_id}/attachments                       machine              401 403 403 403 403 201 403
GET    /api/v1/attachments/{attachment_id}                             attachment           401 403 403 403 403 200 200
DELETE /api/v1/attachments/{attachment_id}                             attachment           401 403 403 403 403 204 403

GET    /api/v1/maintenance-records/                                    -                    401 403 403 403 403 200 200
POST   /api/v1/maintenance-records/                                    machine              401 403 403 403 403 201 403
GET    /api/v1/maintenance-records/{record_id}                         maintenance          401 403 403 403 403 200 200
PATCH  /api/v1/maintenance-records/{record_id}                         maintenance          401 403 403 403 403 200 403
DELETE /api/v1/maintenance-records/{record_id}                         maintenance          401 403 403 403 403 204 403
POST   /api/v1/maintenance-records/{record_id}/begin                   maintenance          401 403 403 403 403 200 403
POST   /api/v1/maintenance-records/{record_id}/finish                  maintenance          401 403 403 403 403 200 403

GET    /api/v1/maintenance-plans/                                      -                    401 403 403 403 403 200 200
POST   /api/v1/maintenance-plans/                                      machine              401 403 403 403 403 201 403
GET    /api/v1/maintenance-plans/{plan_id}                             plan                 401 403 403 403 403 200 200
PATCH  /api/v1/maintenance-plans/{plan_id}                             plan                 401 403 403 403 403 200 403
DELETE /api/v1/maintenance-plans/{plan_id}                             plan                 401 403 403 403 403 204 403
POST   /api/v1/maintenance-plans/{plan_id}/open                        plan                 401 403 403 403 403 201 403

GET    /api/v1/templates/                                              -                    401 200 200 200 200 200 200
POST   /api/v1/templates/                                              -                    401 201 201 201 201 201 403
POST   /api/v1/templates/import                                        -                    401 201 201 201 201 201 403
POST   /api/v1/templates/validate                                      -                    401 200 200 200 200 200 200
GET    /api/v1/templates/{template_id}                                 template             401 404 200 200 200 200 200
PUT    /api/v1/templates/{template_id}                                 template             401 404 200 403 200 200 403
DELETE /api/v1/templates/{template_id}                                 template             401 404 204 403 204 204 403
GET    /api/v1/templates/{template_id}/versions                        template             401 404 200 200 200 200 200
GET    /api/v1/templates/{template_id}/versions/{version}              template             401 404 200 200 200 200 200
GET    /api/v1/templates/{template_id}/export                          template             401 404 200 200 200 200 200

GET    /api/v1/slices/                                                 -                    401 200 200 200 200 200 200
POST   /api/v1/slices/                                                 template             401 404 201 201 201 201 403
GET    /api/v1/slices/{slice_id}                                       slice_draft          401 404 200 404 200 200 200
GET    /api/v1/slices/{slice_id}/vms                                   slice_draft          401 404 200 404 200 200 200
POST   /api/v1/slices/{slice_id}/deploy                                slice_draft          401 404 202 404 202 202 403
POST   /api/v1/slices/{slice_id}/extend                                slice_draft          401 404 200 404 200 200 403
DELETE /api/v1/slices/{slice_id}                                       slice_running        401 404 202 404 202 202 403
POST   /api/v1/slices/{slice_id}/start                                 slice_stopped        401 404 202 404 202 202 403
POST   /api/v1/slices/{slice_id}/stop                                  slice_running        401 404 202 404 202 202 403
POST   /api/v1/slices/{slice_id}/reboot                                slice_running        401 404 202 404 202 202 403
POST   /api/v1/slices/{slice_id}/suspend                               slice_running        401 404 202 404 202 202 403
POST   /api/v1/slices/{slice_id}/resume                                slice_paused         401 404 202 404 202 202 403
POST   /api/v1/slices/{slice_id}/reset                                 slice_running        401 404 202 404 202 202 403

GET    /api/v1/virtual-machines/                                       -                    401 200 200 200 200 200 200
POST   /api/v1/virtual-machines/                                       -                    401 201 201 201 201 201 403
GET    /api/v1/virtual-machines/{vm_id}                                vm_running           401 404 200 404 200 200 200
PUT    /api/v1/virtual-machines/{vm_id}                                vm_stopped           401 404 200 404 200 200 403
DELETE /api/v1/virtual-machines/{vm_id}                                vm_running           401 404 202 404 202 202 403
GET    /api/v1/virtual-machines/{vm_id}/nics                           vm_running           401 404 200 404 200 200 200
POST   /api/v1/virtual-machines/{vm_id}/console                        vm_running           401 404 201 404 201 201 403
POST   /api/v1/virtual-machines/{vm_id}/start                          vm_stopped           401 404 202 404 202 202 403
POST   /api/v1/virtual-machines/{vm_id}/stop                           vm_running           401 404 202 404 202 202 403
POST   /api/v1/virtual-machines/{vm_id}/reboot                         vm_running           401 404 202 404 202 202 403
POST   /api/v1/virtual-machines/{vm_id}/suspend                        vm_running           401 404 202 404 202 202 403
POST   /api/v1/virtual-machines/{vm_id}/resume                         vm_paused            401 404 202 404 202 202 403
POST   /api/v1/virtual-machines/{vm_id}/reset                          vm_running           401 404 202 404 202 202 403
WS     /api/v1/virtual-machines/{vm_id}/console/{kind}             vm_running           4401 4401 101 4401 101 101 4401

GET    /api/v1/operations/                                             -                    401 200 200 200 200 200 200
GET    /api/v1/operations/{operation_id}                               operation            401 404 200 404 200 200 200
POST   /api/v1/operations/{operation_id}/cancel                        operation_held       401 404 202 404 202 202 403
POST   /api/v1/operations/{operation_id}/retry                         operation_failed     401 404 202 404 202 202 403

GET    /api/v1/events                                                  -                    401 200 200 200 200 200 200
GET    /api/v1/events/stream                                           -                    401 200 200 200 200 200 200
WS     /api/v1/events/ws                                               -                    4401 101 101 101 101 101 101

POST   /login                                                          -                    200 200 200 200 200 200 200
GET    /users/                                                         -                    401 403 403 403 403 200 200
POST   /users/                                                         -                    201 403 403 403 403 201 403
GET    /users/{user_id}                                                own_user             401 404 200 404 404 200 200
PUT    /users/{user_id}                                                user                 401 403 403 403 403 200 403
DELETE /users/{user_id}                                                user                 401 403 403 403 403 204 403
GET    /vms/                                                           -                    401 200 200 200 200 200 200
POST   /vms/                                                           -                    401 403 403 403 403 201 403
GET    /vms/{vm_id}                                                    vm_running           401 404 200 404 200 200 200
PUT    /vms/{vm_id}                                                    vm_stopped           401 403 403 403 403 200 403
DELETE /vms/{vm_id}                                                    vm_running           401 403 403 403 403 204 403
WS     /ws/vms                                                         -                    4401 101 101 101 101 101 101
POST   /auth/register                                                  -                    303 303 303 303 303 303 303
POST   /auth/login                                                     -                    303 303 303 303 303 303 303
GET    /auth/logout                                                    -                    303 303 303 303 303 303 303
POST   /templates/guardar                                              -                    401 200 200 200 200 200 403
GET    /templates/mostrar_plantilla                                    -                    401 200 200 200 200 200 200
GET    /templates/{template_id}                                        template             401 404 200 200 200 200 200
PUT    /templates/{template_id}                                        template             401 404 200 403 200 200 403
DELETE /templates/{template_id}                                        template             401 404 200 403 200 200 403
GET    /templates/{template_id}/export                                 template             401 404 200 200 200 200 200
GET    /slices                                                         -                    401 200 200 200 200 200 200
POST   /slices                                                         template             401 404 201 201 201 201 403
GET    /slices/{slice_id}/details                                      slice_draft          401 404 200 404 200 200 200
POST   /slices/{slice_id}/destroy                                      slice_running        401 404 200 404 200 200 403
DELETE /slices/{slice_id}/destroy                                      slice_running        401 404 200 404 200 200 403
POST   /deployments/trigger                                            slice_draft          401 404 200 404 200 200 403
GET    /flavours                                                       -                    401 200 200 200 200 200 200
GET    /                                                               -                    200 200 200 200 200 200 200
GET    /healthz                                                        -                    200 200 200 200 200 200 200
GET    /static/images/pc.png                                           -                    200 200 200 200 200 200 200
GET    /registro                                                       -                    303 303 303 303 303 303 303
GET    /home                                                           -                    401 303 303 303 303 303 303
GET    /plantillas                                                     -                    401 303 303 303 303 303 303
GET    /plantillas/create                                              -                    401 303 303 303 303 303 303
GET    /projects                                                       -                    401 303 303 303 303 303 303
GET    /plantillas/{template_id}                                       template             401 303 303 303 303 303 303
GET    /plantillas/{template_id}/edit                                  template             401 303 303 303 303 303 303
GET    /projects/{slice_id}                                            slice_running        401 303 303 303 303 303 303
GET    /vnc/{vm_id}                                                    vm_running           401 303 303 303 303 303 303
WS     /ws/users                                                  -                    4401 4403 4403 4403 4403 101 101

POST   /api/auth/login                                                 -                    200 200 200 200 200 200 200
POST   /api/auth/register                                              -                    200 200 200 200 200 200 200
GET    /api/auth/usuarios/activos                                      -                    401 403 403 403 403 200 200
GET    /api/maquinas/listar                                            -                    401 403 403 403 403 200 200
GET    /api/maquinas/buscar                                            -                    401 403 403 403 403 200 200
GET    /api/maquinas/dashboard                                         -                    401 403 403 403 403 200 200
POST   /api/maquinas/agregar                                           -                    401 403 403 403 403 200 403
PUT    /api/maquinas/actualizar                                        machine              401 403 403 403 403 200 403
PUT    /api/maquinas/actualizar/{codigo}                               machine              401 403 403 403 403 200 403
DELETE /api/maquinas/eliminar                                          machine              401 403 403 403 403 200 403
DELETE /api/maquinas/eliminar/{codigo}                                 machine              401 403 403 403 403 200 403
GET    /api/mantenimientos/todos                                       -                    401 403 403 403 403 200 200
GET    /api/mantenimientos/informe                                     -                    401 403 403 403 403 200 200
GET    /api/mantenimientos/historial/{codigo}                          machine              401 403 403 403 403 200 200
GET    /api/mantenimiento/listar/{codigo}                              machine              401 403 403 403 403 200 200
GET    /api/mantenimiento/informe-general                              -                    401 403 403 403 403 200 200
POST   /api/mantenimiento/agregar                                      machine              401 403 403 403 403 200 403
POST   /api/mantenimientos/agregar                                     machine              401 403 403 403 403 200 403
GET    /api/sistema/health                                             -                    200 200 200 200 200 200 200
GET    /api/sistema/metrics                                            -                    401 403 403 403 403 200 200
"""
PAGES = """
# Pages know people by the cookie of their session; a personal token in it counts as nobody. 303 sends nobody to the
# login page, and everybody else to where a write can be seen.
GET    /                                                               -                    303 200 200 200 200 200 303
GET    /login                                                          -                    200 303 303 303 303 303 200
POST   /login                                                          -                    303 303 303 303 303 303 303
GET    /login/code                                                     -                    303 303 303 303 303 303 303
POST   /login/code                                                     -                    401 401 401 401 401 401 401
GET    /auth/oidc/start                                                -                    501 501 501 501 501 501 501
GET    /auth/oidc/callback                                             -                    501 501 501 501 501 501 501
GET    /password/forgot                                                -                    200 200 200 200 200 200 200
POST   /password/forgot                                                -                    501 501 501 501 501 501 501
GET    /password/reset                                                 -                    410 410 410 410 410 410 410
POST   /password/reset                                                 -                    422 422 422 422 422 422 422
GET    /account/security                                               -                    303 200 200 200 200 200 303
POST   /account/security/password                                      -                    303 422 422 422 422 422 303
POST   /account/security/totp                                          -                    303 303 303 303 303 303 303
GET    /account/security/totp                                          -                    303 200 200 200 200 200 303
POST   /account/security/totp/confirm                                  -                    303 422 422 422 422 422 303
POST   /account/security/totp/disable                                  -                    303 409 409 409 409 409 303
POST   /account/security/recovery-codes                                -                    303 409 409 409 409 409 303
POST   /account/security/sessions/end-others                           fresh_login          303 303 303 303 303 303 303
POST   /account/security/sessions/{session_id}/end                     session              303 404 303 404 404 404 303
POST   /logout                                                         fresh_login          303 303 303 303 303 303 303
POST   /projects/{project_id}/accept                                   project              303 404 404 303 303 404 303
POST   /projects/{project_id}/decline                                  project              303 404 404 409 409 404 303
POST   /projects/{project_id}/leave                                    project              303 404 404 303 303 404 303
GET    /invitations/confirm                                            -                    303 200 200 200 200 200 303
POST   /invitations/confirm                                            -                    303 422 422 422 422 422 303
GET    /language/{locale}                                              -                    303 303 303 303 303 303 303
GET    /docs                                                           -                    200 200 200 200 200 200 200
GET    /docs/oauth2-redirect                                           -                    200 200 200 200 200 200 200
GET    /redoc                                                          -                    200 200 200 200 200 200 200
GET    /events/stream                                                  -                    303 200 200 200 200 200 303
GET    /templates/{template_id}                                        template             303 404 200 200 200 200 303
POST   /templates/{template_id}/launch                                 template             303 404 303 303 303 303 303
GET    /slices/{slice_id}                                              slice_running        303 404 200 404 200 200 303
GET    /slices/{slice_id}/confirm/{action}                             slice_running        303 404 200 404 200 200 303
POST   /slices/{slice_id}/extend                                       slice_running        303 404 303 404 303 303 303
POST   /slices/{slice_id}/cancel/{operation_id}                        slice_operation_held 303 404 303 404 303 303 303
POST   /slices/{slice_id}/retry/{operation_id}                         slice_op_failed      303 404 303 404 303 303 303
POST   /slices/{slice_id}/{action}                                     slice_running        303 404 303 404 303 303 303
GET    /vms/{vm_id}/confirm/reset                                      vm_running           303 404 200 404 200 200 303
POST   /vms/{vm_id}/{action}                                           vm_running           303 404 303 404 303 303 303
GET    /vms/{vm_id}/console                                            vm_running           303 404 200 404 200 200 303
POST   /vms/{vm_id}/console/ticket                                     vm_running           303 404 201 404 201 201 303
GET    /machines/{code}                                                machine              303 403 403 403 403 200 303
MOUNT  /static                                                         -                    404 404 404 404 404 404 404
"""


@dataclass(frozen=True)
class Rule:
    """One line of the table."""

    method: str
    path: str
    target: str | None
    statuses: dict[str, int]
    page: bool = False

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"


def parse(table: str, *, page: bool = False) -> dict[str, Rule]:
    """The lines by route."""
    rules: dict[str, Rule] = {}
    for line in table.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        method, path, target, *numbers = line.split()
        statuses = dict(zip(CALLERS, map(int, numbers), strict=True))
        rule = Rule(method, path, None if target == "-" else target, statuses, page)
        assert rule.route not in rules, f"{rule.route} is in the table twice"
        rules[rule.route] = rule
    return rules


RULES = parse(TABLE)
PAGE_RULES = parse(PAGES, page=True)
