"""Who may make which account."""

from typing import Any

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.settings import Settings
from parcela.services.access import Caller
from parcela.services.identity.registration import RegistrationService

CLERK = Caller(1, "clerk", "clerk", frozenset({"user:write"}))
CLIENT = Caller(2, "ana", "client", frozenset())


def service(**values: Any) -> RegistrationService:
    settings = Settings(_env_file=None, **values)
    nothing: Any = None  # who may is decided before anything else is needed
    return RegistrationService(settings, nothing, nothing, nothing)


def refusal(registration: RegistrationService, caller: Caller | None, role: str) -> str | None:
    try:
        registration.check(caller, role)
    except ParcelaError as error:
        return error.code
    return None


@pytest.mark.parametrize("caller", [None, CLIENT])
def test_anybody_becomes_a_client_and_nothing_more(caller: Caller | None) -> None:
    registration = service()
    assert refusal(registration, caller, "client") is None
    assert refusal(registration, caller, "admin") == "registration_role"


@pytest.mark.parametrize(
    "values",
    [
        {"PARCELA_SELF_REGISTRATION": False},
        {"PARCELA_PRODUCTION": True, "PARCELA_SECRET_KEY": "k" * 40},
        {"PARCELA_HOST": "0.0.0.0"},  # noqa: S104 (nothing listens)
        {"PARCELA_HOST": "::"},
        {"PARCELA_HOST": "192.0.2.1"},
        {"PARCELA_HOST": "lab.example"},
        {"PARCELA_TRUSTED_PROXIES": "127.0.0.1"},
        {"PARCELA_PUBLIC_URL": "https://lab.example"},
    ],
)
def test_it_can_be_closed_and_is_where_others_can_reach_the_server(values: dict[str, Any]) -> None:
    registration = service(**values)
    assert refusal(registration, None, "client") == "registration_closed"
    assert refusal(registration, CLIENT, "client") == "registration_closed"
    assert refusal(registration, CLERK, "admin") is None  # whose rights are judged when the user is made


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_it_is_open_to_the_local_machine(host: str) -> None:
    assert refusal(service(PARCELA_HOST=host), None, "client") is None


def test_it_can_be_open_in_production() -> None:
    values = {"PARCELA_PRODUCTION": True, "PARCELA_SECRET_KEY": "k" * 40, "PARCELA_SELF_REGISTRATION": True}
    assert refusal(service(**values), None, "client") is None
