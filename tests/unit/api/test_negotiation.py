"""Addresses that a page and an older API share."""

import pytest
from starlette.datastructures import Headers

from parcela.api.compat.negotiation import is_for_page

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        ({}, False),
        ({"accept": "*/*"}, False),  # curl, requests, fetch
        ({"accept": "application/json, text/plain, */*"}, False),  # axios
        ({"accept": "*/*", "content-type": "application/json"}, False),
        ({"accept": BROWSER, "content-type": "application/json; charset=utf-8"}, False),
        ({"accept": BROWSER}, True),
        ({"accept": BROWSER, "content-type": "application/x-www-form-urlencoded"}, True),
        ({"content-type": "application/x-www-form-urlencoded"}, True),
        ({"content-type": "Multipart/Form-Data; boundary=x"}, True),
        ({"accept": "*/*", "hx-request": "true"}, True),
    ],
    ids=str,
)
def test_who_gets_the_page(headers: dict[str, str], page: bool) -> None:
    assert is_for_page(Headers(headers)) is page
