"""What Parcela is compared with: FastAPI's hello, and the list of VMs written the usual way.

The usual way: the signature checked and the user loaded on every request, entities with their relations (joined: the
cheapest way for many-to-one), ``response_model``. No middleware and no log lines, which is to its advantage.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPBearer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Mapped, joinedload, registry, relationship

from parcela.api.schemas.common import PageRead
from parcela.api.schemas.vms import VmRead
from parcela.core.clock import utc_now
from parcela.core.tokens import TokenSigner
from parcela.models import Flavour, Host, Image, Slice, User, VirtualMachine

_registry = registry(metadata=VirtualMachine.metadata)
_bearer = HTTPBearer()


@_registry.mapped
class Vm:
    """The table of VMs with relations, as most applications map it."""

    __table__ = VirtualMachine.__table__
    owner_row: Mapped[User] = relationship(User, lazy="raise")
    image_row: Mapped[Image] = relationship(Image, lazy="raise")
    flavour_row: Mapped[Flavour | None] = relationship(Flavour, lazy="raise")
    host_row: Mapped[Host | None] = relationship(Host, lazy="raise")
    slice_row: Mapped[Slice | None] = relationship(Slice, lazy="raise")
    owner = property(lambda self: self.owner_row.username)
    os = property(lambda self: self.image_row.name)
    flavour = property(lambda self: self.flavour_row and self.flavour_row.name)
    host = property(lambda self: self.host_row and self.host_row.name)
    slice = property(lambda self: self.slice_row and self.slice_row.name)


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]


async def _user(request: Request, session: Session, credentials: Annotated[Any, Depends(_bearer)]) -> User:
    claims = request.app.state.signer.verify(credentials.credentials, kind="access")
    user = await session.get(User, claims.user_id)
    if user is None or not user.is_active:
        raise HTTPException(401)
    return user


async def hello() -> dict[str, str]:
    return {"message": "hello"}


async def list_vms(session: Session, user: Annotated[User, Depends(_user)], limit: int = 50) -> Any:
    entity: Any = Vm
    relations = (entity.owner_row, entity.image_row, entity.flavour_row, entity.host_row, entity.slice_row)
    statement = select(entity).options(*(joinedload(relation) for relation in relations))
    if not user.is_superuser:
        statement = statement.where(entity.owner_id == user.id)
    statement = statement.where(entity.state != "deleted").order_by(entity.id).limit(limit)
    return {"items": (await session.scalars(statement)).all(), "next_cursor": None}


def app() -> FastAPI:
    """The application; the list exists when NAIVE_DATABASE and NAIVE_SECRET are set."""

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        if "NAIVE_DATABASE" not in os.environ:
            yield
            return
        engine = create_async_engine(os.environ["NAIVE_DATABASE"])
        application.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        application.state.signer = TokenSigner(os.environ["NAIVE_SECRET"], utc_now)
        yield
        await engine.dispose()

    made = FastAPI(lifespan=lifespan)
    made.get("/hello")(hello)
    made.get("/vms", response_model=PageRead[VmRead])(list_vms)
    return made
