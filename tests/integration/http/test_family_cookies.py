"""Cookies of the older families: what they open, and that pages of other sites cannot use them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.integration.http.lab import API, ORIGIN, PASSWORD, Lab, make_settings, open_lab

pytestmark = pytest.mark.anyio
LOGIN = "/api/auth/login"
NEW = {"codigo_equipo": "PC-1", "tipo_equipo": "PC"}
PROXY = "192.0.2.7"
PUBLIC = "https://lab.example"


def browser(lab: Lab, base_url: str = "http://lab", address: str = "198.51.100.9") -> httpx2.AsyncClient:
    """A client that keeps cookies and sends nothing else by itself."""
    transport = httpx2.ASGITransport(app=lab.app, raise_app_exceptions=False, client=(address, 5000))
    return httpx2.AsyncClient(transport=transport, base_url=base_url)


async def enter(http: httpx2.AsyncClient, name: str = "admin") -> httpx2.Response:
    answer = await http.post(LOGIN, json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return answer


@asynccontextmanager
async def signed_in(lab: Lab) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser with a session of the administrator."""
    async with browser(lab) as http:
        await enter(http)
        yield http


@pytest.fixture
async def proxied(schema: Path, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Lab]:
    """An installation behind a proxy, with a public address."""
    facts = {"PARCELA_TRUSTED_PROXIES": PROXY, "PARCELA_PUBLIC_URL": PUBLIC}
    async with open_lab(make_settings(tmp_path, schema, **facts)) as lab:
        yield lab


@pytest.mark.parametrize(("base_url", "secure"), [("http://lab", False), ("https://lab", True)])
async def test_what_a_login_of_siglab_leaves(lab: Lab, base_url: str, secure: bool) -> None:
    async with browser(lab, base_url) as http:
        answer = await enter(http)
    kept = {
        name.partition("=")[0]: {part.strip().lower() for part in name.split(";")[1:]}
        for name in answer.headers.get_list("set-cookie")
    }
    assert kept["parcela_siglab"] == {"httponly", "path=/api/", "samesite=strict"} | ({"secure"} if secure else set())


async def test_it_opens_the_routes_of_siglab_and_no_others(lab: Lab) -> None:
    async with signed_in(lab) as http:
        assert (await http.get("/api/maquinas/listar")).status_code == 200
        assert (await http.post("/api/maquinas/agregar", json={**NEW, "codigo_equipo": "PC-COOKIE"})).status_code == 200
        assert (await http.get("/api/mantenimientos/todos")).status_code == 200
        assert (await http.get("/api/auth/usuarios/activos")).status_code == 200
        assert (await http.get("/api/sistema/metrics")).status_code == 200
        token = {"Cookie": f"parcela_siglab={http.cookies['parcela_siglab']}"}
    async with browser(lab) as other:
        for path in (f"{API}/users/me", f"{API}/machines/", "/slices", "/flavours", "/vms/", "/users/"):
            assert (await other.get(path, headers=token)).status_code == 401, path
        assert (await other.get("/", headers=token | {"Accept": "text/html"})).status_code == 303


async def test_cookies_of_other_families_do_not_open_siglab(lab: Lab) -> None:
    token = lab.people["admin"].token
    async with browser(lab) as http:
        for name in ("parcela_session", "access_token"):
            refused = await http.get("/api/maquinas/listar", headers={"Cookie": f"{name}={token}"})
            assert (refused.status_code, refused.json()["detail"]) == (401, "Inicie sesión.")


async def test_a_bearer_token_goes_before_the_cookie(lab: Lab) -> None:
    async with signed_in(lab) as http:
        bad = await http.get("/api/maquinas/listar", headers={"Authorization": "Bearer nonsense"})
        assert bad.status_code == 401
        client = await http.get("/api/maquinas/listar", headers=lab.people["stranger"].headers)
        assert client.status_code == 403


@pytest.mark.parametrize(
    ("cookie", "path"),
    [("parcela_siglab", "/api/maquinas/listar"), ("parcela_session", "/templates/mostrar_plantilla")],
)
async def test_personal_tokens_are_no_cookies(lab: Lab, cookie: str, path: str) -> None:
    secret = (await lab.token("admin"))["token"]
    async with browser(lab) as http:
        assert (await http.get(path, headers={"Authorization": f"Bearer {secret}"})).status_code == 200
        assert (await http.get(path, headers={"Cookie": f"{cookie}={secret}"})).status_code == 401


async def test_a_login_ends_the_session_before(lab: Lab) -> None:
    async with signed_in(lab) as http:
        before = {"Authorization": f"Bearer {http.cookies['parcela_siglab']}"}
        await enter(http, "owner")
        assert (await http.get("/api/auth/usuarios/activos")).status_code == 403  # the owner, not the administrator
    assert (await lab.http.get("/api/maquinas/listar", headers=before)).status_code == 401


async def test_a_login_that_fails_ends_nothing(lab: Lab) -> None:
    async with signed_in(lab) as http:
        assert (await http.post(LOGIN, json={"username": "admin", "password": "wrong"})).status_code == 401
        assert (await http.get("/api/maquinas/listar")).status_code == 200


async def test_a_session_lasts_as_long_as_somebody_works_with_it(lab: Lab) -> None:
    life_s = lab.services.settings.access_token_ttl_s
    with lab.clock.stopped() as now:
        async with signed_in(lab) as http:
            first = _bearer(http)
            lab.clock.stopped_at = now + timedelta(seconds=0.4 * life_s)
            assert "set-cookie" not in (await http.get("/api/maquinas/listar")).headers
            for round_ in range(1, 5):
                lab.clock.stopped_at = now + timedelta(seconds=0.8 * life_s * round_)
                answer = await http.get("/api/maquinas/listar")
                assert answer.status_code == 200
                assert "samesite=strict" in answer.headers["set-cookie"].lower()
            assert (await http.get("/api/maquinas/listar", headers=first)).status_code == 401
            sessions = (await http.get(f"{API}/sessions/", headers=_bearer(http))).json()["items"]
            assert len([one for one in sessions if one["current"]]) == 1
            last = _bearer(http)
            await enter(http, "owner")
            assert (await http.get("/api/maquinas/listar", headers=last)).status_code == 401
            lab.clock.stopped_at += timedelta(seconds=life_s + 1)
            assert (await http.get("/api/maquinas/listar")).status_code == 401


async def test_a_session_that_has_ended_is_not_prolonged(lab: Lab) -> None:
    with lab.clock.stopped() as now:
        async with signed_in(lab) as http:
            assert (await http.post(f"{API}/logout", headers=_bearer(http))).status_code == 204
            lab.clock.stopped_at = now + timedelta(seconds=0.9 * lab.services.settings.access_token_ttl_s)
            refused = await http.get("/api/maquinas/listar")
            assert refused.status_code == 401
            assert "set-cookie" not in refused.headers


async def test_a_bearer_token_is_not_prolonged(lab: Lab) -> None:
    with lab.clock.stopped() as now:
        token = {"Authorization": f"Bearer {(await lab.login('admin'))['access_token']}"}
        lab.clock.stopped_at = now + timedelta(seconds=0.9 * lab.services.settings.access_token_ttl_s)
        async with browser(lab) as http:
            answer = await http.get("/api/maquinas/listar", headers=token)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


async def test_a_session_that_is_over_hinders_nobody(lab: Lab) -> None:
    async with signed_in(lab) as http:
        assert (await http.post(f"{API}/logout", headers=_bearer(http))).status_code == 204
        assert (await http.get("/api/maquinas/listar")).status_code == 401
        name = lab.unique("ana")
        new = {"nombre_completo": "Ana", "username": name, "password": PASSWORD}
        assert (await http.post("/api/auth/register", json=new)).status_code == 200
        await enter(http, name)


def _bearer(http: httpx2.AsyncClient) -> dict[str, str]:
    return {"Authorization": f"Bearer {http.cookies['parcela_siglab']}"}


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://lab:5173"},
    {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"},
]
WRITES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/api/maquinas/agregar", NEW),
    ("PUT", "/api/maquinas/actualizar", NEW),
    ("DELETE", "/api/maquinas/eliminar/PC-1", {}),
    ("POST", "/api/mantenimientos/agregar", {"codigo_maquina": "PC-1", "tipo": "preventivo"}),
    ("POST", LOGIN, {"username": "admin", "password": PASSWORD}),
    ("POST", "/api/auth/register", {"nombre_completo": "Eva", "username": "eva", "password": PASSWORD}),
]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_pages_of_other_sites_write_nothing(lab: Lab, headers: dict[str, str], kind: str) -> None:
    async with signed_in(lab) as http:
        before = (await http.get("/api/maquinas/listar")).json()
        for method, path, body in WRITES:
            sent = http.build_request(method, path, json=body, headers=headers)
            del sent.headers["content-type"]
            if kind:
                sent.headers["Content-Type"] = kind
            refused = await http.send(sent)
            assert refused.status_code == 403, path
            assert "otro sitio" in refused.json()["detail"]
            assert "parcela_siglab" not in refused.cookies
        assert (await http.get("/api/maquinas/listar")).json() == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://lab"},
        {"Origin": "https://lab", "Sec-Fetch-Site": "same-origin"},
        {"Origin": ORIGIN},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_pages_of_this_site_those_that_are_named_and_programs_write(lab: Lab, headers: dict[str, str]) -> None:
    async with signed_in(lab) as http:
        body = {**NEW, "codigo_equipo": lab.unique("PC")}
        assert (await http.post("/api/maquinas/agregar", json=body, headers=headers)).status_code == 200


async def test_the_public_address_is_ours_whatever_a_proxy_makes_of_the_host(proxied: Lab) -> None:
    async with browser(proxied, "https://backend") as http:
        await enter(http)
        for number, headers in enumerate(({}, {"Sec-Fetch-Site": "cross-site"})):
            body = {**NEW, "codigo_equipo": f"PC-{number}"}
            answer = await http.post("/api/maquinas/agregar", json=body, headers={"Origin": PUBLIC, **headers})
            assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("address", "status"), [(PROXY, 200), ("192.0.2.8", 403)])
async def test_only_a_trusted_proxy_says_which_host_was_asked(proxied: Lab, address: str, status: int) -> None:
    async with browser(proxied, "http://backend", address) as http:
        await enter(http)
        headers = {"Origin": "http://pages.lab:18080", "X-Forwarded-Host": "evil.example, pages.lab:18080"}
        answer = await http.post("/api/maquinas/agregar", json=NEW, headers=headers)
        assert answer.status_code == status, answer.text
        forged = {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example, pages.lab:18080"}
        assert (await http.post("/api/maquinas/agregar", json=NEW, headers=forged)).status_code == 403


@pytest.mark.parametrize(("address", "seen"), [(PROXY, "203.0.113.5"), ("192.0.2.8", "192.0.2.8")])
async def test_only_a_trusted_proxy_says_who_asked(proxied: Lab, address: str, seen: str) -> None:
    async with browser(proxied, "http://backend", address) as http:
        answer = await http.post(
            f"{API}/login", json={"username": "admin", "password": PASSWORD}, headers={"X-Forwarded-For": "203.0.113.5"}
        )
        assert answer.status_code == 200
        token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        sessions = (await http.get(f"{API}/sessions/", headers=token)).json()["items"]
    assert seen in {one["ip"] for one in sessions}, sessions


async def test_the_limit_of_requests_knows_who_a_cookie_is(lab: Lab) -> None:
    async with signed_in(lab) as http:
        by_cookie = await http.get("/api/maquinas/listar")
        by_token = await http.get("/api/maquinas/listar", headers=_bearer(http))
    left = [int(answer.headers["RateLimit-Remaining"]) for answer in (by_cookie, by_token)]
    assert left == [left[0], left[0] - 1]
