"""Columns by which text is searched and ordered, the same on every database (ADR 0036).

Names get a sort key, what is searched a form without case and accents, and projects a name key in which also the width
of letters does not count. Texts that the lists go by are stored in NFC from now on.

Every row of these tables is written once, 200 in a statement: 1,000,000 VMs take about a minute.

Revision: 0023
After: 0024
"""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision: str = "0023"
down_revision: str | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ROWS = 200
SORT_KEY_CHARS = 512
NAME_CHARS = 300
EXACT = "utf8mb4_bin"
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(collation=EXACT), "mysql", "mariadb")
NAME = sa.String(NAME_CHARS).with_variant(mysql.VARCHAR(NAME_CHARS, collation=EXACT), "mysql", "mariadb")
KEY = (
    sa.String(SORT_KEY_CHARS)
    .with_variant(sa.String(SORT_KEY_CHARS, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(SORT_KEY_CHARS, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
)
SORTED: Mapping[str, Sequence[str]] = {
    "api_tokens": ("name",),
    "attachments": ("name",),
    "flavours": ("name",),
    "hosts": ("name",),
    "images": ("name",),
    "machines": ("code", "type", "area"),
    "maintenance_plans": ("title",),
    "projects": ("name",),
    "roles": ("name",),
    "slices": ("name",),
    "templates": ("name",),
    "users": ("email", "username", "full_name"),
    "virtual_machines": ("name", "label"),
    "webhooks": ("name",),
    "zones": ("name",),
}
FEW = ("api_tokens", "attachments")
"""Lists of one user or machine: their order needs no index."""
NAMED: Mapping[str, Sequence[str]] = {"machines": ("type", "area"), "users": ("full_name",)}
"""Texts that filters compare whole, or by their beginning."""
SEARCHED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "machines": {"search_text": ("code", "serial", "type", "area", "notes")},
    "maintenance_records": {
        "company_fold": ("company",),
        "technician_fold": ("technician",),
        "notes_fold": ("notes",),
    },
}
REPLACED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "machines": {"area": ("area",), "type": ("type",)},
    "slices": {"name_id": ("name", "id")},
    "virtual_machines": {"name_id": ("name", "id"), "label_id": ("label", "id")},
}
"""Indexes that nothing uses any more."""
Change = Callable[[str], str]


def upgrade() -> None:
    """Add the columns, fill them, then index them."""
    bind = op.get_bind()
    tables = {**SORTED, **SEARCHED}
    for table in tables:
        for name, (kind, _change, _sources) in _columns(table).items():
            empty = None if kind is TEXT else ""
            op.add_column(table, sa.Column(name, kind, nullable=kind is TEXT, server_default=empty))
    if bind.dialect.name in {"mysql", "mariadb"}:
        # It took names that differ in accents for the same.
        op.execute(f"ALTER TABLE projects MODIFY name_key VARCHAR({NAME_CHARS}) COLLATE {EXACT} NOT NULL")
    for table in tables:
        _fill(bind, table)
    _set_name_keys(bind, caseless)
    for table in tables:
        for name in REPLACED.get(table, {}):
            op.drop_index(f"ix_{table}_{name}", table)
        for column in () if table in FEW else SORTED.get(table, ()):
            op.create_index(f"ix_{table}_{column}_sort_id", table, [f"{column}_sort", "id"])
        for column in NAMED.get(table, ()):
            op.create_index(f"ix_{table}_{column}_fold_id", table, [f"{column}_fold", "id"])


def downgrade() -> None:
    """Forget the columns. Texts stay in NFC, and name keys exact on MariaDB: the version before reads both."""
    _set_name_keys(op.get_bind(), str.lower)
    for table in reversed({**SORTED, **SEARCHED}):
        for column in NAMED.get(table, ()):
            op.drop_index(f"ix_{table}_{column}_fold_id", table)
        for column in () if table in FEW else SORTED.get(table, ()):
            op.drop_index(f"ix_{table}_{column}_sort_id", table)
        for name, columns in REPLACED.get(table, {}).items():
            op.create_index(f"ix_{table}_{name}", table, list(columns))
        for name in _columns(table):
            op.drop_column(table, name)


def _columns(table: str) -> dict[str, tuple[Any, Change, Sequence[str]]]:
    """(type, how it follows, from which columns) by name."""
    found: dict[str, tuple[Any, Change, Sequence[str]]] = {}
    found |= {f"{name}_sort": (KEY, sort_key, (name,)) for name in SORTED.get(table, ())}
    found |= {f"{name}_fold": (NAME, folded, (name,)) for name in NAMED.get(table, ())}
    return found | {name: (TEXT, folded, sources) for name, sources in SEARCHED.get(table, {}).items()}


def _fill(bind: sa.Connection, table: str) -> None:
    columns = _columns(table)
    sources = sorted({name for _kind, _change, names in columns.values() for name in names})
    for rows in _batches(bind, table, sources):
        _compose(bind, table, rows)
        values = {
            name: [
                "\n".join(change(row[source] or "") for source in names)[: NAME_CHARS if kind is NAME else None]
                for row in rows
            ]
            for name, (kind, change, names) in columns.items()
        }
        _update(bind, table, [row["id"] for row in rows], values)


def _batches(bind: sa.Connection, table: str, names: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    wanted = ", ".join(["id", *names])
    last: Any = None
    while True:
        after = "" if last is None else "WHERE id > :last "
        statement = sa.text(f"SELECT {wanted} FROM {table} {after}ORDER BY id LIMIT {ROWS}")  # noqa: S608
        rows = [dict(row) for row in bind.execute(statement, {} if last is None else {"last": last}).mappings()]
        if not rows:
            return
        last = rows[-1]["id"]
        yield rows


def _update(bind: sa.Connection, table: str, ids: Sequence[Any], values: Mapping[str, Sequence[str]]) -> None:
    """Set columns of many rows at once: one statement per row takes MariaDB minutes."""
    facts: dict[str, Any] = {f"i{index}": row_id for index, row_id in enumerate(ids)}
    parts = []
    for number, (name, texts) in enumerate(values.items()):
        cases = " ".join(f"WHEN :i{index} THEN :v{number}_{index}" for index in range(len(ids)))
        parts.append(f"{name} = CASE id {cases} END")
        facts |= {f"v{number}_{index}": text for index, text in enumerate(texts)}
    marks = ", ".join(f":i{index}" for index in range(len(ids)))
    bind.execute(sa.text(f"UPDATE {table} SET {', '.join(parts)} WHERE id IN ({marks})"), facts)  # noqa: S608


def _compose(bind: sa.Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        for name, text in row.items():
            if isinstance(text, str) and composed(text) != text:
                statement = sa.text(f"UPDATE {table} SET {name} = :text WHERE id = :id")  # noqa: S608
                bind.execute(statement, {"id": row["id"], "text": composed(text)})


def _set_name_keys(bind: sa.Connection, make: Change) -> None:
    """Keys of projects, the older ones first; a younger one whose key is taken by now keeps a key of its own."""
    taken: set[str] = set()
    keys: dict[int, str] = {}
    for row_id, name in bind.execute(sa.text("SELECT id, name FROM projects ORDER BY id")).all():
        key = make(name)[:NAME_CHARS]
        keys[row_id] = key if key not in taken else f"{key[: NAME_CHARS - 24]}\n{row_id}"
        taken.add(keys[row_id])
    for row_id in keys:  # out of each other's way first: a key may be another row's old one
        bind.execute(
            sa.text("UPDATE projects SET name_key = :key WHERE id = :id"), {"key": f"\n{row_id}", "id": row_id}
        )
    for row_id, key in keys.items():
        bind.execute(sa.text("UPDATE projects SET name_key = :key WHERE id = :id"), {"key": key, "id": row_id})


# ---- as in core/collation.py when this was written


_END = "!"
_PUNCTUATION = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
_SINGLE = 10
_SYMBOL, _LETTER, _ENYE = ".", "{", "n~"
_MARKS = "\u0301\u0300\u0306\u0302\u030c\u030a\u0308\u030b\u0303\u0307\u0327\u0328\u0304"
_TILDE = "\u0303"
_STROKES = str.maketrans(
    {"ø": "o\u0338", "Ø": "O\u0338", "ł": "l\u0335", "Ł": "L\u0335", "đ": "d\u0335", "Đ": "D\u0335", "ħ": "h\u0335"}
    | {"Ħ": "H\u0335", "æ": "a\u0338e", "Æ": "A\u0338E", "œ": "o\u0335e", "Œ": "O\u0335E", "\u0131": "i\u0335"}
)


def composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def caseless(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def folded(text: str) -> str:
    if text.isascii():
        plain = text.lower()
    else:
        apart = unicodedata.normalize("NFKD", text.translate(_STROKES))
        apart = unicodedata.normalize("NFKD", apart.casefold())
        plain = "".join(character for character in apart if not unicodedata.combining(character))
    return " ".join(plain.split()) or text


def sort_key(text: str) -> str:
    primary: list[str] = []
    accents: list[str] = []
    cases: list[str] = []
    for base, marks, is_plain in _characters(text):
        if base == "n" and _TILDE in marks:
            primary.append(_ENYE)
            accents.append("".join(map(_mark, marks.replace(_TILDE, "", 1))) or '"')
        else:
            primary.append(_weight(base))
            accents.append("".join(map(_mark, marks)) or '"')
        cases.append('"' if is_plain else "#")
    levels = ("".join(primary), "".join(accents).rstrip('"'), "".join(cases).rstrip('"'))
    return _END.join(levels).rstrip(_END)[:SORT_KEY_CHARS]


def _characters(text: str) -> list[tuple[str, str, bool]]:
    if text.isascii():
        return [(character.lower(), "", not character.isupper()) for character in text if character >= " "]
    found: list[tuple[str, str, bool]] = []
    for written in unicodedata.normalize("NFC", text):
        apart = unicodedata.normalize("NFKD", written.translate(_STROKES))
        small = unicodedata.normalize("NFKD", apart.casefold())
        is_plain = apart == small and apart[:1] in unicodedata.normalize("NFD", written.translate(_STROKES))
        for character in small:
            if unicodedata.combining(character):
                if found:
                    base, marks, was_plain = found[-1]
                    found[-1] = (base, marks + character, was_plain)
            elif unicodedata.category(character) not in {"Cc", "Cf", "Cs"}:
                found.append((character, "", is_plain))
    return found


def _weight(base: str) -> str:
    if "a" <= base <= "z" or "0" <= base <= "9":
        return base
    if base.isspace():
        return '"'
    place = _PUNCTUATION.find(base)
    if 0 <= place < _SINGLE:
        return chr(ord("#") + place)
    if place >= 0:
        return "-" + chr(ord("a") + place - _SINGLE)
    if base.isdigit():
        return str(unicodedata.digit(base))
    return (_LETTER if base.isalpha() else _SYMBOL) + _number(ord(base))


def _mark(mark: str) -> str:
    place = _MARKS.find(mark)
    return chr(ord("a") + place) if place >= 0 else "z" + _number(ord(mark))


def _number(code_point: int) -> str:
    return "".join(chr(ord("0") + (code_point >> shift & 63)) for shift in (18, 12, 6, 0))
