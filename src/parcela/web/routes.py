"""Routes of the HTML edge: a class of their own, so that their errors become pages and those of the API stay JSON."""

from fastapi import APIRouter
from fastapi.routing import APIRoute


class WebRoute(APIRoute):
    """A route whose answers people read."""


def web_router() -> APIRouter:
    """A router of pages; they are no part of the API's document."""
    return APIRouter(route_class=WebRoute, include_in_schema=False)
