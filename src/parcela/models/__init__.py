"""All tables; importing this package fills ``Base.metadata``."""

from parcela.models.base import Base
from parcela.models.catalogue import Flavour, Host, Image, Zone
from parcela.models.operations import (
    ConsoleTicket,
    Counter,
    Event,
    IdempotencyKey,
    Installation,
    Operation,
    OperationStep,
)
from parcela.models.slices import Nic, Reservation, Segment, Slice, VirtualMachine
from parcela.models.templates import Template, TemplateVersion
from parcela.models.users import ApiToken, LoginThrottle, Role, RolePermission, User

__all__ = [
    "ApiToken",
    "Base",
    "ConsoleTicket",
    "Counter",
    "Event",
    "Flavour",
    "Host",
    "IdempotencyKey",
    "Image",
    "Installation",
    "LoginThrottle",
    "Nic",
    "Operation",
    "OperationStep",
    "Reservation",
    "Role",
    "RolePermission",
    "Segment",
    "Slice",
    "Template",
    "TemplateVersion",
    "User",
    "VirtualMachine",
    "Zone",
]
