"""All tables; importing this package fills ``Base.metadata``."""

from parcela.models.audit import AuditEntry, AuditOutcome, AuditRefusal
from parcela.models.base import Base
from parcela.models.catalogue import Flavour, Host, Image, ImageCopy, ImageUpload, Zone
from parcela.models.identity import (
    ExternalIdentity,
    KnownAddress,
    OutboxMail,
    PasswordReset,
    RecoveryCode,
    SecondFactor,
)
from parcela.models.machines import (
    Attachment,
    HostMachine,
    Machine,
    MachineStatusChange,
    OpenMaintenance,
)
from parcela.models.maintenance import ActivityRow, MaintenanceChange, MaintenancePlan, MaintenanceRow
from parcela.models.operations import (
    ConsoleTicket,
    Counter,
    Event,
    IdempotencyKey,
    Installation,
    Operation,
    OperationStep,
)
from parcela.models.projects import Project, ProjectInvitation, ProjectMember, Quota
from parcela.models.slices import Nic, Reservation, Segment, Slice, VirtualMachine
from parcela.models.templates import Template, TemplateReference, TemplateVersion
from parcela.models.users import ApiToken, LoginThrottle, Role, RolePermission, User
from parcela.models.webhooks import DeliveryState, Webhook, WebhookDelivery

__all__ = [
    "ActivityRow",
    "ApiToken",
    "Attachment",
    "AuditEntry",
    "AuditOutcome",
    "AuditRefusal",
    "Base",
    "ConsoleTicket",
    "Counter",
    "DeliveryState",
    "Event",
    "ExternalIdentity",
    "Flavour",
    "Host",
    "HostMachine",
    "IdempotencyKey",
    "Image",
    "ImageCopy",
    "ImageUpload",
    "Installation",
    "KnownAddress",
    "LoginThrottle",
    "Machine",
    "MachineStatusChange",
    "MaintenanceChange",
    "MaintenancePlan",
    "MaintenanceRow",
    "Nic",
    "OpenMaintenance",
    "Operation",
    "OperationStep",
    "OutboxMail",
    "PasswordReset",
    "Project",
    "ProjectInvitation",
    "ProjectMember",
    "Quota",
    "RecoveryCode",
    "Reservation",
    "Role",
    "RolePermission",
    "SecondFactor",
    "Segment",
    "Slice",
    "Template",
    "TemplateReference",
    "TemplateVersion",
    "User",
    "VirtualMachine",
    "Webhook",
    "WebhookDelivery",
    "Zone",
]
