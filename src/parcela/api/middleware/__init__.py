"""Pure ASGI: what every request and every answer gets, whatever its route."""
