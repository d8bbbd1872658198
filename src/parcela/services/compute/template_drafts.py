"""What people say of templates, files of them, and how much of them there may be."""

from dataclasses import dataclass
from typing import Any, Self

from parcela.core.settings import Settings


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """What people say of a template; ``document`` is decoded JSON, not checked yet.

    ``project_id``: project whose members see it; 0 for none; None leaves it where it is.
    """

    name: str
    document: object
    description: str = ""
    visibility: str = "private"
    project_id: int | None = None

    def fields(self) -> dict[str, Any]:
        """The columns of the row."""
        return {
            "name": self.name,
            "description": self.description,
            "visibility": self.visibility,
        }

    def project_after(self, before: int | None) -> int | None:
        """The project it is in afterwards."""
        return before if self.project_id is None else self.project_id or None


@dataclass(frozen=True, slots=True)
class Export:
    """A template in a file.

    Attributes:
        content: JSON values.
        lost: places in the native document of what the format cannot hold.
    """

    name: str
    content: dict[str, Any]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TemplateLimits:
    """How much of templates there may be.

    Attributes:
        versions_kept: newest versions of each, besides those in use.
        templates: of a user; 0 for any number.
        size_mib: of the documents of a user, in MiB; 0 for any size.
    """

    versions_kept: int = 50
    templates: int = 0
    size_mib: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of the installation."""
        return cls(settings.template_versions_kept, settings.quota_templates, settings.quota_templates_mib)


NO_LIMITS = TemplateLimits()
