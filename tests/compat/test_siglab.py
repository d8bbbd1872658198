"""The siglab API from its client's side, on every kind of database."""

from collections.abc import Iterator

import pytest

from tests.compat.siglab_program import SiglabProgram
from tests.compat.support import ADMIN_PASSWORD, PASSWORD, Server


@pytest.fixture
def cliente(server: Server) -> Iterator[SiglabProgram]:
    """Nobody yet."""
    client = SiglabProgram(server.url)
    yield client
    client.close()


@pytest.fixture
def admin(cliente: SiglabProgram) -> SiglabProgram:
    """The administrator, logged in."""
    cliente.entrar("admin", ADMIN_PASSWORD)
    return cliente


def test_register_and_log_in(server: Server, cliente: SiglabProgram) -> None:
    name = server.unique("ana")
    made = cliente.registrar(name, PASSWORD)
    assert made["usuario"]["username"] == name
    assert made["usuario"]["rol"] == "cliente"
    session = cliente.entrar(name, PASSWORD)
    assert session["access_token"] == session["token"]
    assert (session["token_type"], session["usuario"]["nombre_completo"]) == ("bearer", f"Persona {name}")


def test_a_wrong_password_is_told_in_spanish(server: Server, cliente: SiglabProgram) -> None:
    name = server.unique("ana")
    cliente.registrar(name, PASSWORD)
    error = cliente.entrar(name, "equivocada", expected=401)
    assert error["detail"] == "El usuario o la contraseña no son correctos."
    assert error["codigo"] == "bad_credentials"


def test_a_username_is_given_once(server: Server, cliente: SiglabProgram) -> None:
    name = server.unique("ana")
    cliente.registrar(name, PASSWORD)
    assert "ya existe" in cliente.registrar(name.upper(), PASSWORD, expected=409)["detail"]


def test_nobody_makes_themselves_an_administrator(server: Server, cliente: SiglabProgram) -> None:
    name = server.unique("eva")
    assert cliente.registrar(name, PASSWORD, rol="administrador", expected=403)["codigo"] == "registration_role"
    cliente.entrar(name, PASSWORD, expected=401)


def test_an_administrator_registers_administrators(server: Server, admin: SiglabProgram) -> None:
    name = server.unique("jefa")
    assert admin.registrar(name, PASSWORD, rol="Administrador")["usuario"]["rol"] == "administrador"


def test_bad_data_is_told_by_field(server: Server, cliente: SiglabProgram) -> None:
    error = cliente.call("POST", "/api/auth/register", 422, json={"username": server.unique("ana")})
    said = {item["campo"]: item["mensaje"] for item in error["errores"]}
    assert said == {"body.nombre_completo": "Falta este dato.", "body.password": "Falta este dato."}


def test_who_is_logged_in(server: Server, admin: SiglabProgram) -> None:
    name = server.unique("ana")
    other = SiglabProgram(server.url)
    admin.registrar(name, PASSWORD)
    assert name not in {user["username"] for user in admin.usuarios_activos()["usuarios"]}
    other.entrar(name, PASSWORD)
    active = admin.usuarios_activos()
    assert active["total"] == len(active["usuarios"])
    assert {"admin", name} <= {user["username"] for user in active["usuarios"]}
    assert other.usuarios_activos(expected=403)["detail"] == "No tiene permiso para hacer esto."
    other.close()


def test_strangers_hear_no_names_of_parts_and_servers(cliente: SiglabProgram) -> None:
    assert cliente.salud() == {"status": "healthy"}
    assert cliente.metricas(expected=401)["codigo"] == "session_missing"


def test_the_state_of_the_system(admin: SiglabProgram) -> None:
    health = admin.salud()
    assert health["status"] == "healthy"
    assert health["servicios"]["database"] == "ok"


def test_figures_are_for_who_may_read_them(admin: SiglabProgram) -> None:
    figures = admin.metricas()
    assert 20 < figures["memoria_mib"] < 2000
    assert figures["server_id"] == admin.salud()["server_id"]
