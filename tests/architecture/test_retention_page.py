"""Every table says how long its rows are kept, or why they stay for ever; every setting of retention is on the page."""

import re

from parcela.core.settings_quotas import QuotaSettings
from parcela.core.settings_retention import RetentionSettings
from parcela.models import Base
from tests.architecture.rules import ROOT

PAGE = (ROOT / "docs" / "reference" / "retention.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(?P<table>[a-z_]+)` \| (?P<by>[^|]+) \| (?P<bound>[^|]+) \| (?P<kept>[^|]+) \|$", re.MULTILINE)
TABLES = PAGE.split("## Tables", 1)[1].split("\n## ", 1)[0]


def test_every_table_has_its_line() -> None:
    rows = [match["table"] for match in ROW.finditer(TABLES)]
    assert rows == sorted(Base.metadata.tables)


def test_what_is_kept_for_ever_says_why() -> None:
    kept = {match["table"]: match["kept"].strip() for match in ROW.finditer(TABLES)}
    assert not [table for table, how in kept.items() if "for ever" in how and "because" not in how]


def test_every_setting_of_retention_is_on_the_page() -> None:
    names = [
        str(field.validation_alias)
        for settings in (RetentionSettings, QuotaSettings)
        for field in settings.model_fields.values()
    ]
    assert not [name for name in names if f"`{name.removeprefix('PARCELA_')}`" not in PAGE and f"`{name}`" not in PAGE]
