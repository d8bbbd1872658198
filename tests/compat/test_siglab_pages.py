"""The pages and the load script of siglab against a real server, on every kind of database."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.compat.siglab_client import LoadScript, Pages, SaidError, dashboard_counts
from tests.compat.support import PASSWORD, Server

Canonical = Callable[..., Any]


@pytest.fixture
def pages(server: Server) -> Iterator[Pages]:
    """Nobody yet."""
    browser = Pages(server.url)
    yield browser
    browser.close()


@pytest.fixture
def lab(server: Server, pages: Pages) -> Pages:
    """A technician, logged in."""
    pages.log_in(server.user(full_name="Ana Quispe", role="technician"), PASSWORD)
    return pages


@pytest.fixture
def code(server: Server, lab: Pages) -> str:
    """A machine that was just added."""
    code = server.unique("PC-")
    assert lab.add_machine(code, usuario=lab.greeting)["codigo"] == code
    return code


@pytest.fixture
def canonical(server: Server) -> Iterator[Canonical]:
    """Requests of an administrator below ``/api/v1``."""
    with httpx2.Client(base_url=f"{server.url}/api/v1", headers=server.admin_headers(), timeout=60) as http:

        def call(method: str, path: str, **options: Any) -> Any:
            answer = http.request(method, path, **options)
            assert answer.is_success, answer.text
            return answer.json()

        yield call


# ---- people


def test_somebody_registers_logs_in_and_is_greeted(server: Server, pages: Pages) -> None:
    name = server.unique("ana")
    pages.register("Ana Quispe", name, PASSWORD)
    pages.log_in(name, PASSWORD)
    assert pages.greeting == "Ana Quispe"


@pytest.mark.parametrize(
    ("full_name", "username", "password", "said"),
    [
        ("Ana", "ana$", PASSWORD, "username: Use de 2 a 64 letras sin tilde, cifras, puntos"),
        ("Ana", "a", PASSWORD, "username: Es demasiado corto: 2 caracteres como mínimo."),
        ("", "anaq", PASSWORD, "nombre_completo: Es demasiado corto: 1 caracteres como mínimo."),
        ("<b>Ana</b>", "anaq", PASSWORD, "nombre_completo: No se aceptan los signos < y > ni caracteres de control."),
        ("Ana", "anaq", "corta1", "password: La contraseña tiene como mínimo 8 caracteres."),
        ("Ana", "anaq", "12345678", "password: Esta contraseña es de las que se prueban primero"),
        ("Ana", "anaquispe", "anaquispe1", "password: La contraseña no puede ser su nombre"),
    ],
)
def test_why_a_registration_fails_is_on_the_screen(
    pages: Pages, full_name: str, username: str, password: str, said: str
) -> None:
    with pytest.raises(SaidError) as told:
        pages.register(full_name, username, password)
    assert str(told.value).startswith(said)


def test_a_username_that_is_taken_and_a_wrong_password(server: Server, pages: Pages) -> None:
    name = server.user()
    with pytest.raises(SaidError, match="Ese nombre de usuario ya existe"):
        pages.register("Ana", name, PASSWORD)
    with pytest.raises(SaidError, match="El usuario o la contraseña no son correctos"):
        pages.log_in(name, "equivocada")


def test_the_next_person_at_the_same_browser_is_somebody_else(server: Server, lab: Pages, code: str) -> None:
    lab.leave()
    lab.log_in(server.user(), PASSWORD)  # a client, who may not see machines
    assert lab.fetch("GET", "/api/maquinas/listar").json()["detail"] == "No tiene permiso para hacer esto."
    assert lab.fetch("DELETE", f"/api/maquinas/eliminar/{code}").status_code == 403


# ---- machines


def test_a_machine_is_added_and_listed(lab: Pages, code: str) -> None:
    row = lab.machines()[code]
    known = {name: row[name] for name in ("codigo", "tipo", "estado", "area", "fecha", "usuario")}
    assert known == {
        "codigo": code,
        "tipo": "Computadora",
        "estado": "operativa",
        "area": "Laboratorio 1",
        "fecha": "2026-03-01",
        "usuario": "Ana Quispe",
    }
    assert lab.preselected(code) == "operativa"
    assert code in lab.search(code.lower()[1:])


def test_a_machine_of_nobody(server: Server, lab: Pages) -> None:
    code = server.unique("IMP-")
    lab.add_machine(code, tipo_equipo="IMP", usuario="")
    assert (lab.machines()[code]["usuario"], lab.machines()[code]["tipo"]) == (None, "Impresora")


def test_a_code_that_is_taken_is_on_the_screen(lab: Pages, code: str) -> None:
    with pytest.raises(SaidError, match="Ya existe una máquina con ese código"):
        lab.add_machine(code.lower())


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("codigo_equipo", "PC<script>", "codigo_equipo: No se aceptan los signos < y >"),
        ("codigo_equipo", "PC ñandú", "codigo_equipo: Use de 1 a 64 letras sin tilde, cifras"),
        ("codigo_equipo", "P" * 65, "codigo_equipo: Es demasiado largo: 64 caracteres como máximo."),
        ("area", "<img src=x>", "area: No se aceptan los signos < y >"),
        ("area", "a\u0007b", "area: No se aceptan los signos < y > ni caracteres de control."),
        ("usuario", "<b>", "usuario: No se aceptan los signos < y >"),
        ("tipo_equipo", "Tostadora", "tipo_equipo: Tipos aceptados: PC, IMP, SRV, SW, RTR, MON, OTRO."),
        (
            "estado_actual",
            "regular",
            "estado_actual: Estados aceptados: operativa, en mantenimiento,",
        ),
        ("fecha", "ayer", "fecha: Debe ser una fecha: AAAA-MM-DD."),
        ("fecha", "0001-01-01", "fecha: Debe ser una fecha de 1970-01-01 a"),
    ],
)
def test_why_a_machine_is_not_added_is_on_the_screen(
    server: Server, lab: Pages, name: str, typed: str, said: str
) -> None:
    code = server.unique("PC-")
    with pytest.raises(SaidError) as told:
        lab.add_machine(typed if name == "codigo_equipo" else code, **{name: typed})
    assert str(told.value).startswith(said)
    assert code not in lab.machines()


def test_the_change_form_sends_what_it_has_read(lab: Pages, code: str) -> None:
    assert lab.change_machine(code, area="Almacén")["codigo"] == code
    row = lab.machines()[code]
    assert (row["area"], row["tipo"], row["estado"], row["usuario"]) == (
        "Almacén",
        "Computadora",
        "operativa",
        "Ana Quispe",
    )
    lab.change_machine(code, tipo_equipo="Impresora")
    assert lab.machines()[code]["tipo"] == "Impresora"


def test_fields_that_are_left_empty_keep_their_value(lab: Pages, code: str) -> None:
    before = lab.machines()[code]
    empty = dict.fromkeys(("tipo_equipo", "estado_actual", "area", "fecha", "usuario"), "")
    assert lab.change_machine(code, **empty)["codigo"] == code
    assert lab.machines()[code] == before


@pytest.mark.parametrize("word", ["operativa", "en mantenimiento", "fuera de servicio", "Operativo", "Dañado"])
def test_the_word_of_a_state_comes_back(server: Server, lab: Pages, code: str, word: str) -> None:
    lab.change_machine(code, estado_actual=word)
    assert lab.machines()[code]["estado"] == word
    (found,) = lab.report(code)
    assert found["estado"] == word
    other = server.unique("PC-")
    lab.add_machine(other, estado_actual=word)
    assert lab.machines()[other]["estado"] == word


def test_both_words_for_a_broken_machine_are_one_state(lab: Pages, code: str, canonical: Canonical) -> None:
    for word in ("Dañado", "fuera de servicio"):
        lab.change_machine(code, estado_actual=word)
        (machine,) = canonical("GET", "/machines/", params={"code": code})["items"]
        assert machine["status"] == "damaged"
        assert lab.machines()[code]["estado"] == word
    canonical("PATCH", f"/machines/{machine['id']}", json={"area": "Sótano"})
    assert lab.machines()[code]["estado"] == "fuera de servicio"


def test_a_word_goes_when_the_state_changes_otherwise(lab: Pages, code: str, canonical: Canonical) -> None:
    lab.change_machine(code, estado_actual="Operativo")
    (machine,) = canonical("GET", "/machines/", params={"code": code})["items"]
    for status, word in (("damaged", "fuera de servicio"), ("maintenance", "en mantenimiento")):
        canonical("PATCH", f"/machines/{machine['id']}", json={"status": status})
        assert lab.machines()[code]["estado"] == lab.preselected(code) == word
    canonical("PATCH", f"/machines/{machine['id']}", json={"status": "operational"})
    assert lab.machines()[code]["estado"] == "operativa", "not 'Operativo', which was said before"
    lab.change_machine(code, estado_actual="Operativo")
    canonical("POST", "/maintenance-records/", json={"machine_id": machine["id"], "kind": "corrective"})
    assert lab.machines()[code]["estado"] == "en mantenimiento"


def test_a_machine_of_another_kind_is_shown_and_changed(server: Server, lab: Pages, canonical: Canonical) -> None:
    code = server.unique("LAP-")
    canonical("POST", "/machines/", json={"code": code, "type": "Laptop", "status": "damaged"})
    assert lab.machines()[code]["tipo"] == "Laptop"
    lab.change_machine(code, area="Almacén")
    row = lab.machines()[code]
    assert (row["tipo"], row["area"], row["estado"]) == ("Laptop", "Almacén", "fuera de servicio")


def test_a_machine_goes_and_comes_back_with_its_history(lab: Pages, code: str, canonical: Canonical) -> None:
    lab.add_record(code)
    assert code not in lab.remove_machine(code)
    assert lab.search(code) == []
    assert lab.report(code) == []
    assert "no existe" in lab.fetch("DELETE", f"/api/maquinas/eliminar/{code}").json()["detail"]
    assert len(lab.records(code)) == 1
    (machine,) = canonical("GET", "/machines/", params={"code": code, "archived": True})["items"]
    assert machine["archived_at"]
    added = lab.add_machine(code.lower(), area="Almacén", estado_actual="Dañado", usuario="")
    assert "conserva su historial" in added["mensaje"]
    row = lab.machines()[code]
    assert (row["area"], row["estado"], row["usuario"]) == ("Almacén", "Dañado", None)
    assert len(lab.records(code)) == 1


def test_a_retired_machine_comes_back_in_any_state(lab: Pages, code: str) -> None:
    lab.change_machine(code, estado_actual="De baja")
    lab.remove_machine(code)
    lab.add_machine(code, estado_actual="en mantenimiento")
    assert lab.machines()[code]["estado"] == "en mantenimiento"


# ---- maintenance


def test_what_was_done_is_written_and_shown_newest_first(lab: Pages, code: str) -> None:
    assert lab.records(code) == []
    made = lab.add_record(code.lower(), fecha="2026-04-02", tipo="correctivo", observaciones="Fuente\nnueva")
    assert made["codigo_maquina"] == code
    lab.add_record(code, fecha="2026-05-10")
    newer, older = lab.records(code.lower())
    assert (newer["fecha"], newer["tipo"]) == ("2026-05-10", "preventivo")
    assert older == {
        "fecha": "2026-04-02",
        "tipo": "correctivo",
        "tecnico": "Rosa Díaz",
        "empresa": "Servicios SAC",
        "observaciones": "Fuente\nnueva",
    }


def test_a_code_that_is_not_there_has_no_history(lab: Pages) -> None:
    assert lab.records("NO-HAY") == []
    assert lab.report("NO-HAY") == []
    assert "no existe" in lab.add_record("NO-HAY")["detail"]


@pytest.mark.parametrize("day", ["2026-02-28", "2036-05-10"])
def test_a_day_that_nobody_can_mean_is_refused(lab: Pages, code: str, day: str) -> None:
    said = lab.add_record(code, fecha=day)["detail"]
    assert said.startswith("fecha: Debe ser una fecha de 2026-03-01 a 20")
    assert lab.records(code) == []


@pytest.mark.parametrize("name", ["empresa", "tecnico", "observaciones"])
def test_signs_of_html_are_refused_in_records(lab: Pages, code: str, name: str) -> None:
    said = lab.add_record(code, **{name: "<script>alert(1)</script>"})["detail"]
    assert said == f"{name}: No se aceptan los signos < y > ni caracteres de control."
    assert lab.records(code) == []


def test_the_general_report(server: Server, lab: Pages, code: str) -> None:
    for day in ("2026-04-02", "2026-05-10"):
        lab.add_record(code, fecha=day)
    (found,) = lab.report(code.lower())
    assert (found["codigo"], found["tipo"], found["fecha_registro"]) == (code, "Computadora", "2026-03-01")
    assert (found["total_mantenimientos"], found["ultimo_mantenimiento"]) == (2, "2026-05-10")
    assert [record["fecha"] for record in found["mantenimientos"]] == ["2026-05-10", "2026-04-02"]
    assert {record["_id"] for record in found["mantenimientos"]} == {record["id"] for record in found["mantenimientos"]}
    other = server.unique("PC-")
    lab.add_machine(other)
    everything = {machine["codigo"]: machine for machine in lab.report()}
    assert (everything[other]["total_mantenimientos"], everything[other]["ultimo_mantenimiento"]) == (0, None)
    assert {code, other} <= everything.keys()


# ---- the load script


def test_the_load_script_with_a_header_and_without(server: Server, lab: Pages, canonical: Canonical) -> None:
    wanted = {"name": server.unique("k6"), "scopes": ["machine:write"]}
    token = canonical("POST", "/tokens/", json=wanted)
    script, nobody = LoadScript(server.url, token["token"]), LoadScript(server.url)
    now_ms = 1_790_000_000_000 + next(server.numbers)
    codes = [script.iteration(number, now_ms) for number in range(6)]
    refused = nobody.iteration(99, now_ms)
    counts = dashboard_counts([("backend-1", status) for status in script.statuses + nobody.statuses])
    assert counts == {"backend-1": 6, "backend-1 dead": 1}
    listed = lab.machines()
    assert [listed[code]["estado"] for code in codes] == ["Operativo", "Mantenimiento", "Dañado"] * 2
    assert refused not in listed
    script.close()
    nobody.close()
