"""Machines and maintenance of siglab for programs written after its README, on every kind of database."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.siglab_program import SiglabProgram
from tests.compat.support import ADMIN_PASSWORD, PASSWORD, Server

FORM_STATES = "operativa, en mantenimiento, fuera de servicio, de baja"
STATES = f"Estados aceptados: {FORM_STATES}; también Operativo, Mantenimiento y Dañado."


@pytest.fixture
def admin(server: Server) -> Iterator[SiglabProgram]:
    """The administrator, logged in."""
    client = SiglabProgram(server.url)
    client.entrar("admin", ADMIN_PASSWORD)
    yield client
    client.close()


@pytest.fixture
def codigo(server: Server, admin: SiglabProgram) -> str:
    """The code of a new machine."""
    code = server.unique("PC-")
    assert admin.agregar_maquina(code)["codigo"] == code
    return code


def test_a_machine_is_registered_and_found(server: Server, admin: SiglabProgram, codigo: str) -> None:
    found = admin.buscar(codigo.lower())
    assert found == [
        {
            "codigo": codigo,
            "tipo": "Computadora",
            "estado": "Operativo",
            "area": "Laboratorio 1",
            "fecha": "2026-01-01",
            "usuario": None,
            "codigo_equipo": codigo,
            "tipo_equipo": "PC",
            "estado_actual": "Operativo",
        }
    ]
    assert codigo in {machine["codigo_equipo"] for machine in admin.listar()}
    assert admin.buscar("nothing is called so") == []


def test_a_code_is_given_once(admin: SiglabProgram, codigo: str) -> None:
    assert admin.agregar_maquina(codigo.lower(), expected=409)["message"] == "Ya existe una máquina con ese código."


@pytest.mark.parametrize(
    ("datos", "campo", "sentence"),
    [
        ({"tipo_equipo": "Tostadora"}, "body.tipo_equipo", "Tipos aceptados: PC, IMP, SRV, SW, RTR, MON, OTRO."),
        (
            {"estado_actual": "Regular"},
            "body.estado_actual",
            STATES,
        ),
        ({"fecha": "ayer"}, "body.fecha", "Debe ser una fecha: AAAA-MM-DD."),
    ],
)
def test_what_is_not_accepted_is_told(
    server: Server, admin: SiglabProgram, datos: dict[str, str], campo: str, sentence: str
) -> None:
    code = server.unique("PC-")
    error = admin.agregar_maquina(code, expected=422, **datos)
    assert [(item["campo"], item["mensaje"]) for item in error["errores"]] == [(campo, sentence)]
    assert error["detail"] == f"{campo.removeprefix('body.')}: {sentence}"
    assert admin.buscar(code) == []


def test_words_are_read_in_any_case_with_or_without_accents(server: Server, admin: SiglabProgram) -> None:
    code = server.unique("IMP-")
    admin.agregar_maquina(code, tipo_equipo="impresora", estado_actual="DANADO")
    assert [(one["tipo_equipo"], one["estado_actual"]) for one in admin.buscar(code)] == [("IMP", "DANADO")]
    assert code in {one["codigo"] for one in admin.listar(estado="dañado", tipo="imp")}
    assert code not in {one["codigo"] for one in admin.listar(estado="operativo")}


def test_only_what_is_sent_is_changed(admin: SiglabProgram, codigo: str) -> None:
    admin.actualizar_maquina(codigo.lower(), estado_actual="Mantenimiento", usuario="Don Pedro")
    admin.call("PUT", f"/api/maquinas/actualizar/{codigo}", json={"area": "Almacén"})
    (machine,) = admin.buscar(codigo)
    assert (machine["estado_actual"], machine["area"], machine["usuario"]) == ("Mantenimiento", "Almacén", "Don Pedro")
    assert machine["fecha"] == "2026-01-01"


def test_a_user_of_the_system_is_the_responsible_one(admin: SiglabProgram, codigo: str) -> None:
    admin.actualizar_maquina(codigo, usuario="Admin")
    assert admin.buscar(codigo)[0]["usuario"] == "admin"


def test_a_machine_that_is_not_there(admin: SiglabProgram) -> None:
    for error in (
        admin.actualizar_maquina("NO-HAY", expected=404, area="x"),
        admin.eliminar_maquina("NO-HAY", expected=404),
        admin.historial("NO-HAY", expected=404),
        admin.agregar_mantenimiento("NO-HAY", expected=404),
    ):
        assert error["detail"] == "La máquina no existe."


def test_a_machine_without_history_is_removed(admin: SiglabProgram, codigo: str) -> None:
    assert admin.eliminar_maquina(codigo)["mensaje"] == "Máquina eliminada"
    assert admin.buscar(codigo) == []


@pytest.mark.parametrize(("where", "name"), [("json", "codigo_equipo"), ("params", "codigo")])
def test_a_machine_is_found_and_removed_by_the_name_of_its_field(
    server: Server, admin: SiglabProgram, where: str, name: str
) -> None:
    code = server.unique("IMP-")
    admin.agregar_maquina(code, tipo_equipo="IMP", estado_actual="Mantenimiento", usuario="Rosa")
    (found,) = admin.call("GET", "/api/maquinas/buscar", params={"codigo_equipo": code.lower()})
    assert (found["tipo_equipo"], found["estado_actual"], found["usuario"]) == ("IMP", "Mantenimiento", "Rosa")
    told: dict[str, Any] = {where: {name: code}}
    assert admin.call("DELETE", "/api/maquinas/eliminar", **told)["codigo"] == code
    assert admin.buscar(code) == []


def test_nothing_is_removed_without_a_code(admin: SiglabProgram) -> None:
    assert admin.call("DELETE", "/api/maquinas/eliminar", 422)["errores"][0]["campo"] == "body.codigo_equipo"


def test_a_day_may_be_written_as_browsers_write_moments(admin: SiglabProgram, codigo: str) -> None:
    admin.actualizar_maquina(codigo, fecha="2026-03-02T14:03:00.000Z")
    assert admin.buscar(codigo)[0]["fecha"] == "2026-03-02"
    admin.agregar_mantenimiento(codigo, fecha="2026-05-11 08:30:00", usuario="alguien")
    (record,) = admin.historial(codigo)
    assert (record["fecha"], record["usuario"]) == ("2026-05-11", "admin")
    assert admin.agregar_mantenimiento(codigo, expected=422, fecha="2026-05-11 y pico")["errores"]
    admin.actualizar_maquina(codigo, fecha="")
    assert admin.buscar(codigo)[0]["fecha"] == "2026-03-02"


def test_a_slash_too_many_is_no_matter(admin: SiglabProgram, codigo: str) -> None:
    answer = admin.raw("GET", "/api/maquinas/buscar/", params={"codigo": codigo}, follow_redirects=True)
    assert [machine["codigo"] for machine in answer.json()] == [codigo]
    body = {"codigo_maquina": codigo, "tipo": "correctivo"}
    assert admin.raw("POST", "/api/mantenimientos/agregar/", json=body, follow_redirects=True).status_code == 200


def test_errors_before_a_route_is_found_are_spanish_too(admin: SiglabProgram) -> None:
    assert admin.call("GET", "/api/maquinas/nada", 404)["detail"] == "Esta dirección no existe."
    assert admin.call("PATCH", "/api/maquinas/listar", 405)["detail"] == "Esta dirección no admite ese método."


def test_one_with_history_keeps_it(admin: SiglabProgram, codigo: str) -> None:
    admin.agregar_mantenimiento(codigo)
    assert admin.eliminar_maquina(codigo)["mensaje"] == "Máquina eliminada"
    assert admin.buscar(codigo) == []
    assert len(admin.historial(codigo)) == 1
    assert admin.eliminar_maquina(codigo, expected=404)["detail"] == "La máquina no existe."


def test_nothing_is_found_by_a_parameter_that_is_misspelt(admin: SiglabProgram, codigo: str) -> None:
    error = admin.call("GET", "/api/maquinas/buscar", 422, params={"terminos": codigo})
    assert error["detail"] == "Falta lo que se busca: 'termino', una parte del código."


def test_the_history_of_a_machine_is_newest_first(admin: SiglabProgram, codigo: str) -> None:
    admin.agregar_mantenimiento(codigo, fecha="2026-01-05", tipo="Correctivo", observaciones="=1+1")
    admin.agregar_mantenimiento(codigo.lower(), fecha="2026-05-10")
    newer, older = admin.historial(codigo)
    assert (newer["fecha"], older["fecha"]) == ("2026-05-10", "2026-01-05")
    assert {name: older[name] for name in ("codigo_maquina", "empresa", "tecnico", "tipo", "observaciones")} == {
        "codigo_maquina": codigo,
        "empresa": "Servicios SAC",
        "tecnico": "Rosa Díaz",
        "tipo": "correctivo",
        "observaciones": "=1+1",
    }
    assert (older["usuario"], older["estado"]) == ("admin", "Realizado")
    ids = {record["id"] for record in admin.todos()}
    assert {newer["id"], older["id"]} <= ids


@pytest.mark.parametrize("fecha", ["2036-05-10", "2025-12-31", "1066-10-14"])
def test_days_that_nobody_can_mean(admin: SiglabProgram, codigo: str, fecha: str) -> None:
    assert admin.agregar_mantenimiento(codigo, expected=422, fecha=fecha)["errores"][0]["campo"] == "fecha"
    assert admin.historial(codigo) == []
    if fecha != "2025-12-31":
        assert admin.actualizar_maquina(codigo, expected=422, fecha=fecha)["errores"][0]["campo"] == "fecha"
    assert admin.buscar(codigo)[0]["fecha"] == "2026-01-01"


def test_maintenance_of_a_kind_nobody_knows(admin: SiglabProgram, codigo: str) -> None:
    error = admin.agregar_mantenimiento(codigo, expected=422, tipo="estético")
    assert error["errores"][0]["mensaje"] == "Tipos aceptados: preventivo, correctivo."
    assert admin.historial(codigo) == []


def test_the_report_of_a_machine(admin: SiglabProgram, codigo: str) -> None:
    for day in ("2026-01-01", "2026-01-11", "2026-02-10"):
        admin.agregar_mantenimiento(codigo, fecha=day, tipo="correctivo")
    (machine,) = admin.informe(codigo=codigo)
    assert (machine["codigo"], machine["total_mantenimientos"]) == (codigo, 3)
    assert (machine["ultimo_mantenimiento"], machine["dias_entre_fallas"]) == ("2026-02-10", 20.0)
    assert [record["fecha"] for record in machine["mantenimientos"]] == ["2026-02-10", "2026-01-11", "2026-01-01"]
    assert codigo in {one["codigo"] for one in admin.informe()}


@pytest.mark.parametrize(("formato", "magic"), [("csv", b"\xef\xbb\xbfFecha,"), ("xlsx", b"PK"), ("pdf", b"%PDF-")])
def test_the_report_as_a_file(admin: SiglabProgram, codigo: str, formato: str, magic: bytes) -> None:
    admin.agregar_mantenimiento(codigo, observaciones='=HYPERLINK("http://malo")')
    answer = admin.raw("GET", "/api/mantenimientos/informe", params={"codigo": codigo, "formato": formato})
    assert answer.status_code == 200
    assert answer.content.startswith(magic)
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="maintenance-{codigo}-')
    if formato == "csv":
        assert "'=HYPERLINK" in answer.text


def test_the_dashboard(admin: SiglabProgram, codigo: str) -> None:
    before = admin.dashboard()
    admin.actualizar_maquina(codigo, estado_actual="Dañado", area=f"Área {codigo}")
    board = admin.dashboard()
    assert board["total"] == before["total"] == sum(board["por_estado"].values())
    assert board["por_estado"]["Dañado"] == before["por_estado"].get("Dañado", 0) + 1
    assert board["por_area"][f"Área {codigo}"] == 1
    assert board["por_tipo"]["PC"] >= 1
    assert board["vencidos"] == 0


def test_lists_can_be_read_in_parts(admin: SiglabProgram, codigo: str) -> None:
    for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
        admin.agregar_mantenimiento(codigo, fecha=day)
    path = f"/api/mantenimientos/historial/{codigo}"
    first = admin.raw("GET", path, params={"limite": 2})
    rest = admin.raw("GET", path, params={"limite": 2, "desde": first.headers["X-Siguiente"]})
    assert [one["fecha"] for one in first.json() + rest.json()] == ["2026-01-03", "2026-01-02", "2026-01-01"]
    assert "X-Siguiente" not in rest.headers


def test_who_may_do_what(server: Server, admin: SiglabProgram, codigo: str) -> None:
    name, technician = server.unique("ana"), server.unique("tec")
    admin.registrar(name, PASSWORD)
    admin.registrar(technician, PASSWORD, rol="técnico")
    other = SiglabProgram(server.url)
    assert other.call("GET", "/api/maquinas/listar", 401)["codigo"] == "session_missing"
    other.entrar(name, PASSWORD)
    assert other.agregar_maquina(server.unique("PC-"), expected=403)["codigo"] == "permission_missing"
    assert other.eliminar_maquina(codigo, expected=403)["detail"] == "No tiene permiso para hacer esto."
    assert other.call("GET", "/api/mantenimientos/todos", 403)["codigo"] == "permission_missing"
    other.entrar(technician, PASSWORD)
    other.agregar_mantenimiento(codigo)
    assert other.historial(codigo)[0]["usuario"] == technician
    other.close()
