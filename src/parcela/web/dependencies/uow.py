"""Units of work for pages: this is the one place of the HTML edge that commits."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.container import Services


async def get_services(connection: HTTPConnection) -> Services:
    """The services of the composition root. Dependencies call this, as in the JSON edge; endpoints take the alias."""
    services: Services = connection.app.state.services
    return services


AppServices = Annotated[Services, Depends(get_services)]


async def _read_uow(connection: HTTPConnection) -> AsyncIterator[ReadUnitOfWork]:
    services = await get_services(connection)
    async with services.uows.read() as uow:
        yield uow


async def _write_uow(connection: HTTPConnection) -> AsyncIterator[UnitOfWork]:
    services = await get_services(connection)
    async with services.uows.write() as uow:
        yield uow
        await uow.commit()


# scope="function": committed when the endpoint has returned and before the answer leaves; see the JSON edge's twin.
ReadUow = Annotated[ReadUnitOfWork, Depends(_read_uow, scope="function")]
WriteUow = Annotated[UnitOfWork, Depends(_write_uow, scope="function")]
