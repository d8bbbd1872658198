"""Strict YAML: the core schema of YAML 1.2, one document, every key once, no alias that holds itself.

PyYAML reads YAML 1.1, in which ``no`` is false, ``12:30`` is 750 and the MAC address ``52:54:00:11:22:33`` a number; of
a key that stands twice one is lost, and an anchor that points at itself ends in a RecursionError.
"""

import math
import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_NODES = 200_000
"""Values of a document, with those that aliases repeat: a few lines of nested aliases can stand for billions."""
MERGE = "tag:yaml.org,2002:merge"
_WORD_DOT = re.compile(r"\.(?=[A-Za-z])")
_SURROGATE = re.compile("[\ud800-\udfff]")


class YamlTextError(ValueError):
    """A text that is not the YAML we take; the message says why and, where known, at which line and column."""


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's reader with the resolvers of YAML 1.2's core schema."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 (PyYAML copies it for each class)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("merge", r"<<", "<"),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _integer(loader: yaml.SafeLoader, node: ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    if text.startswith(("0o", "0x")):
        return int(text, 0)
    return int(text)  # 010 is ten: only 0o10 is eight


_CoreLoader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_yaml(text: str) -> Any:
    """Decode one YAML document.

    Raises:
        YamlTextError: malformed, more than one document, a key twice, a key that is no text, an anchor inside itself,
            tags of other programs, numbers that are none, half a character, or more than ``MAX_NODES`` values.
    """
    loader = _CoreLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise YamlTextError("The document is empty.")
        _check(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        words = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise YamlTextError(f"{place}{words}.") from error
    except yaml.YAMLError as error:
        raise YamlTextError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise YamlTextError("The values are nested too deeply.") from error
    except ValueError as error:
        if isinstance(error, YamlTextError):
            raise
        raise YamlTextError("A number has too many digits.") from error
    finally:
        loader.dispose()


def _fail(node: Node, reason: str) -> YamlTextError:
    return YamlTextError(f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}: {reason}")


def _check(root: Node) -> None:
    """Walk the document as it will be built, with every alias followed; without recursion, so depth costs nothing."""
    seen = 0
    inside: set[int] = set()
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            inside.discard(id(node))
            continue
        seen += 1
        if seen > MAX_NODES:
            raise _fail(node, f"The document stands for more than {MAX_NODES} values, aliases included.")
        if isinstance(node, ScalarNode):
            _check_scalar(node)
            continue
        if id(node) in inside:
            raise _fail(node, "The anchor of this value is used inside the value itself.")
        inside.add(id(node))
        stack.append((node, True))
        if isinstance(node, MappingNode):
            _check_keys(node)
            stack += [(value, False) for _, value in node.value]
        elif isinstance(node, SequenceNode):
            stack += [(item, False) for item in node.value]


def _check_scalar(node: ScalarNode) -> None:
    if _SURROGATE.search(node.value):
        raise _fail(node, "The text holds half a character (a lone surrogate).")
    # 1e999 is infinite, too.
    if node.tag.endswith(":float") and not math.isfinite(float(_WORD_DOT.sub("", node.value))):
        raise _fail(node, f"'{node.value}' is no number; put it in quotes if it is meant as text.")


def _check_keys(node: MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == MERGE:
            continue
        if not isinstance(key, ScalarNode) or not key.tag.endswith(":str"):
            raise _fail(key, "A key must be text; put it in quotes.")
        _check_scalar(key)
        if key.value in lines:
            text = f"The key '{key.value}' stands in the same mapping as on line {lines[key.value]}; leave one of them."
            raise _fail(key, text)
        lines[key.value] = key.start_mark.line + 1
