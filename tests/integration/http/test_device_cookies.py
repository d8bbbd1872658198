"""Every way to sign in makes the browser known: the canonical API, the older ones, and the page."""

import re
from typing import Any

import httpx2
import pytest

from tests.integration.http.lab import API, PASSWORD, Lab

pytestmark = pytest.mark.anyio
HERE = "198.51.100.9"


def browser(lab: Lab, address: str, cookies: httpx2.Cookies | None = None) -> httpx2.AsyncClient:
    """A client that keeps cookies, at an address."""
    transport = httpx2.ASGITransport(app=lab.app, raise_app_exceptions=False, client=(address, 5000))
    return httpx2.AsyncClient(transport=transport, base_url="http://lab", cookies=cookies)


async def sign_in(http: httpx2.AsyncClient, way: str, name: str, email: str, password: str) -> httpx2.Response:
    """Sign in as the clients of each interface do."""
    match way:
        case "canonical":
            return await http.post(f"{API}/login", json={"username": name, "password": password})
        case "form":
            return await http.post(f"{API}/login", data={"username": name, "password": password})
        case "vms":
            return await http.post("/login", json={"email": email, "password": password})
        case "siglab":
            return await http.post("/api/auth/login", json={"username": name, "password": password})
        case "cloud":
            return await http.post("/auth/login", data={"email": email, "password": password})
        case _:
            form = (await http.get("/login")).text
            found = re.search(r'name="csrf_token" value="([^"]+)"', form)
            assert found
            facts: dict[str, Any] = {"identifier": name, "password": password, "csrf_token": found[1]}
            return await http.post("/login", data=facts)


@pytest.mark.parametrize("way", ["canonical", "form", "vms", "siglab", "cloud", "page"])
async def test_a_browser_is_known_after_a_login(lab: Lab, way: str) -> None:
    user = await lab.user()
    name, email = user["username"], user["email"]
    async with browser(lab, HERE) as first:
        assert (await sign_in(first, way, name, email, PASSWORD)).status_code in {200, 303}
        assert "parcela_device" in first.cookies
        cookies = httpx2.Cookies({"parcela_device": first.cookies["parcela_device"]})
    async with browser(lab, "203.0.113.66") as stranger:
        for _ in range(lab.services.settings.login_attempts_per_address + 1):
            refused = await sign_in(stranger, way, name, email, "wrong")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
    async with browser(lab, "203.0.113.66", cookies) as known:
        answer = await sign_in(known, way, name, email, PASSWORD)
        assert answer.status_code in {200, 303}, answer.text
