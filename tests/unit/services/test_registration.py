"""Who may make which account."""

from typing import Any

import pytest

from parcela.core.errors import ParcelaError
from parcela.core.passwords import PasswordHasher
from parcela.core.settings import Settings
from parcela.services.access import Caller
from parcela.services.registration import RegistrationService
from parcela.services.users import UserService

CLERK = Caller(1, "clerk", "clerk", frozenset({"user:write"}))
CLIENT = Caller(2, "ana", "client", frozenset())


def service(**values: Any) -> RegistrationService:
    settings = Settings(_env_file=None, **values)
    hasher = PasswordHasher(4)
    hasher.close()
    return RegistrationService(settings, UserService(hasher))


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
    ],
)
def test_it_can_be_closed_and_is_in_production(values: dict[str, Any]) -> None:
    registration = service(**values)
    assert refusal(registration, None, "client") == "registration_closed"
    assert refusal(registration, CLIENT, "client") == "registration_closed"
    assert refusal(registration, CLERK, "admin") is None  # whose rights are judged when the user is made


def test_it_can_be_open_in_production() -> None:
    values = {"PARCELA_PRODUCTION": True, "PARCELA_SECRET_KEY": "k" * 40, "PARCELA_SELF_REGISTRATION": True}
    assert refusal(service(**values), None, "client") is None
