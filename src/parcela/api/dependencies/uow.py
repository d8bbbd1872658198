"""Units of work for endpoints: this is the one place of the JSON edge that commits."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from parcela.repositories.uow import ReadUnitOfWork, UnitOfWork
from parcela.services.container import Services


async def get_services(connection: HTTPConnection) -> Services:
    """The services the composition root built.

    A coroutine, as every dependency here: FastAPI would send a plain function through its thread pool. Endpoints take
    ``AppServices``; dependencies call this, because FastAPI analyses what they depend on for every route again.
    """
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


# scope="function": the code after ``yield`` runs when the endpoint has returned and *before* the response is sent, so a
# commit that fails is an error answer and never a 2xx. (FastAPI's default runs it after sending.)
ReadUow = Annotated[ReadUnitOfWork, Depends(_read_uow, scope="function")]
WriteUow = Annotated[UnitOfWork, Depends(_write_uow, scope="function")]
