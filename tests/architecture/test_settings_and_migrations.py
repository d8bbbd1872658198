"""Every setting is documented; migrations are one line without forks."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from pydantic import BaseModel, Field

from parcela.core.settings import Settings, env_name
from tests.architecture.rules import PACKAGE, ROOT

REFERENCE = ROOT / "docs" / "reference" / "settings.md"


def undocumented(settings: type[BaseModel], reference: str) -> list[str]:
    """Settings without a sentence in the class, or without a line in the reference."""
    names = {name: str(field.validation_alias) for name, field in settings.model_fields.items()}
    return [
        names[name]
        for name, field in settings.model_fields.items()
        if not (field.description or "").strip() or f"`{names[name]}`" not in reference
    ]


def test_every_setting_is_documented() -> None:
    assert not undocumented(Settings, REFERENCE.read_text(encoding="utf-8"))


def test_a_setting_that_is_not_documented_is_named() -> None:
    class Some(BaseModel):
        """Two settings."""

        silent: int = Field(default=1, validation_alias="SILENT")
        missing: int = Field(default=1, validation_alias="MISSING", description="Said here only.")
        known: int = Field(default=1, validation_alias="KNOWN", description="Said in both.")

    assert undocumented(Some, "| `SILENT` | | `KNOWN` |") == ["SILENT", "MISSING"]


def test_names_of_settings_are_unique() -> None:
    names = [env_name(name) for name in Settings.model_fields]
    assert len(names) == len(set(names))


def forks(folder: Path) -> list[str]:
    """What keeps the migrations of a folder from being one line."""
    config = Config()
    config.set_main_option("script_location", str(folder))
    script = ScriptDirectory.from_config(config)
    found = [
        f"{len(ends)} {what}"
        for what, ends in (("heads", script.get_heads()), ("bases", script.get_bases()))
        if len(ends) != 1
    ]
    for revision in script.walk_revisions():
        if isinstance(revision.down_revision, tuple | list):
            found.append(f"{revision.revision} merges")
        if not Path(revision.path).name.startswith(f"{revision.revision}_"):
            found.append(f"{Path(revision.path).name} is not named after its revision")
    return found


def test_migrations_are_one_line() -> None:
    assert not forks(PACKAGE / "db" / "migrations")


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        ({"0001_a": ("0001", None), "0002_b": ("0002", "0001"), "0003_c": ("0003", "0001")}, ["2 heads"]),
        ({"0001_a": ("0001", None), "0002_b": ("0002", None)}, ["2 heads", "2 bases"]),
        ({"0001_a": ("0001", None), "other": ("0002", "0001")}, ["other.py is not named after its revision"]),
    ],
)
def test_forks_are_noticed(tmp_path: Path, revisions: dict[str, tuple[str, str | None]], expected: list[str]) -> None:
    (tmp_path / "versions").mkdir()
    for name, (revision, down) in revisions.items():
        (tmp_path / "versions" / f"{name}.py").write_text(f"revision = {revision!r}\ndown_revision = {down!r}\n")
    assert forks(tmp_path) == expected
