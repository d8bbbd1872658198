"""Where a login may lead, what proves a form, and how tokens are renewed."""

import asyncio

import pytest

from parcela.core.errors import ErrorKind, ParcelaError
from parcela.services.identity.sessions import TokenPair
from parcela.web.session import Refresher, check_csrf, csrf_token, local_path


@pytest.mark.parametrize("path", ["/", "/slices/3", "/slices/3?a=b", "/templates/1"])
def test_local_paths_are_kept(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "slices/3",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        " /slices",
        "/login?next=/login",
        "/logout",
        "/" + "x" * 600,
        "/ñ",
    ],
)
def test_other_places_become_the_first_page(path: str | None) -> None:
    assert local_path(path) == "/"


def test_a_token_proves_its_own_session_only() -> None:
    token = csrf_token("session one")
    check_csrf("session one", token)
    for secret, wrong in (("session two", token), ("session one", token + "0"), ("session one", ""), ("", token)):
        with pytest.raises(ParcelaError) as caught:
            check_csrf(secret, wrong)
        assert (caught.value.kind, caught.value.code) == (ErrorKind.FORBIDDEN, "csrf_failed")


@pytest.mark.parametrize("token", [".", "..", "a.b", "ñ.ñ", "\ud800", "x" * 200])
def test_nonsense_is_no_proof(token: str) -> None:
    with pytest.raises(ParcelaError):
        check_csrf("session", token)


def test_tokens_differ_from_page_to_page() -> None:
    assert csrf_token("session") != csrf_token("session")


class Exchange:
    """Counts what would end the session when it happened twice."""

    def __init__(self, error: ParcelaError | None = None) -> None:
        self.calls: list[str] = []
        self.error = error

    async def __call__(self, token: str, _address: str) -> TokenPair:
        self.calls.append(token)
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return TokenPair(f"new {token}", f"refresh {token}", 60)


def test_tabs_that_wake_up_together_share_one_exchange() -> None:
    async def run() -> None:
        exchange = Exchange()
        refresher = Refresher(exchange)
        pairs = await asyncio.gather(*(refresher("old", "::1") for _ in range(5)))
        assert await refresher("old", "::1") == pairs[0]
        assert exchange.calls == ["old"]
        assert (await refresher("other", "::1")).access_token == "new other"

    asyncio.run(run())


def test_a_refused_exchange_is_refused_for_all_tabs() -> None:
    async def run() -> None:
        refresher = Refresher(Exchange(ParcelaError(ErrorKind.UNAUTHENTICATED, "token_expired", "Too old.")))
        results = await asyncio.gather(*(refresher("old", "::1") for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [ParcelaError] * 3

    asyncio.run(run())


def test_a_browser_that_leaves_does_not_stop_the_exchange_of_the_others() -> None:
    async def run() -> None:
        exchange = Exchange()
        refresher = Refresher(exchange)
        leaving, staying = (asyncio.ensure_future(refresher("old", "::1")) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await staying).access_token == "new old"
        assert exchange.calls == ["old"]

    asyncio.run(run())
