"""The routes of siglab together, under ``/api``."""

from parcela.api.compat.siglab import auth, machines, maintenance, system

ROUTERS = (machines.router, maintenance.router, maintenance.pages, auth.router, system.router)
