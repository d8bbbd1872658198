"""The routes of ``vm_api`` together. They stand before the canonical ones, with which they share addresses."""

from parcela.api.compat.vm_api import login, machines, users

ROUTERS = (login.router, users.router, users.registration, machines.router)
