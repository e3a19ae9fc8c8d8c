"""The reference of the API in Markdown: every field with its type, its limits and its words."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from serin_contract.labels import API_VERSION
from serin_contract.startup import StartupReason
from serin_operator.api.conditions import ConditionType
from serin_operator.api.crdgen import KINDS, Kind, root_schema
from serin_operator.api.deployment import Phase
from serin_operator.api.structural import Json

INTRODUCTION = f"""\
# API reference

Generated from the models in `operator/serin_operator/api` by `serin crds write`; edit those, not this file.
All kinds belong to `{API_VERSION}` and live in a namespace. No field of a spec has a default in its schema,
so what you wrote is what `kubectl get` shows; the words of a field say what holds in its absence.
"""

BOUNDS = (
    ("minimum", "exclusiveMinimum", "> {}", "≥ {}"),
    ("maximum", "exclusiveMaximum", "< {}", "≤ {}"),
)
SIZES = (
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("maxProperties", "at most {} entries"),
)


@dataclass(frozen=True)
class Vocabulary:
    """A closed set of words that stand in a status, each explained below its name in the source."""

    title: str
    introduction: str
    words: type[Enum]


VOCABULARIES = (
    Vocabulary("Phases", "`status.phase` of a ModelDeployment says in one word where it stands.", Phase),
    Vocabulary(
        "Conditions",
        "True is always the good answer. All but TrafficAsTrained and WatchPassing are set from the first pass on.",
        ConditionType,
    ),
    Vocabulary(
        "Why a model server did not start",
        "A server that refuses its bundle says why in its termination message; the same word is the reason of a "
        "condition.",
        StartupReason,
    ),
)


def reference(*further: Vocabulary) -> str:
    """The whole document, with words that are defined above this layer."""
    parts = [INTRODUCTION, *map(_kind, KINDS), *map(_words, (*VOCABULARIES, *further))]
    return "\n".join(parts)


def _kind(kind: Kind) -> str:
    schema = root_schema(kind)
    lines = [
        f"## {kind.name}",
        "",
        f"`kubectl get {kind.plural}`, or `{kind.short_name}`. {schema['description']}",
        "",
    ]
    for part, node in schema["properties"].items():
        lines += [f"### {kind.name} {part}", "", node["description"], ""]
        lines += _table("Field", "Type", "Limits", "Meaning")
        lines += [_row(*field) for field in _fields(node, part)]
        lines.append("")
    lines += _rules(kind, schema)
    lines += ["Columns of `kubectl get`:", "", *_table("Column", "Field", "Meaning")]
    lines += [_row(c.name, f"`{c.json_path}`", c.description + _width(c.priority)) for c in kind.columns]
    return "\n".join([*lines, ""])


def _width(priority: int) -> str:
    return " Only with `-o wide`." if priority else ""


def _fields(node: Json, path: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in node.get("properties", {}).items():
        here = f"{path}.{name}"
        need = ", required" if name in node.get("required", ()) else ""
        yield f"`{here}`", _type(field) + need, _limits(field), _prose(field["description"])
        items = field.get("items", {})
        yield from _fields(items if items else field, f"{here}[]" if items else here)


def _type(node: Json) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map to {_type(node['additionalProperties'])}"
    return "time" if node.get("format") == "date-time" else str(node["type"])


def _limits(node: Json) -> str:
    found = []
    if "enum" in node:
        found.append("one of " + ", ".join(f"`{word}`" for word in node["enum"]))
    if "pattern" in node:
        found.append(f"matches `{node['pattern']}`")
    for bound, flag, exclusive, inclusive in BOUNDS:
        if bound in node:
            found.append((exclusive if node.get(flag) else inclusive).format(f"{node[bound]:g}"))
    found += [words.format(node[key]) for key, words in SIZES if node.get(key, 1) != 1]
    if 1 in (node.get("minLength"), node.get("minItems")):
        found.append("not empty")
    if node.get("x-kubernetes-list-map-keys"):
        found.append("one per " + ", ".join(f"`{key}`" for key in node["x-kubernetes-list-map-keys"]))
    if node.get("x-kubernetes-list-type") == "set":
        found.append("each once")
    return "; ".join(found)


def _rules(kind: Kind, schema: Json) -> list[str]:
    found = dict.fromkeys(_messages(schema, ""))
    if not found:
        return []
    return [
        f"What a {kind.name} must keep to beyond the limits of its fields:",
        "",
        *_table("Field", "Rule"),
        *(_row(f"`{path}`", _prose(message)) for path, message in found),
        "",
    ]


def _messages(node: Json, path: str) -> Iterator[tuple[str, str]]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield path or "metadata.name", rule["message"]
    for name, field in node.get("properties", {}).items():
        yield from _messages(field, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from _messages(node["items"], f"{path}[]")


def _words(vocabulary: Vocabulary) -> str:
    rows = [_row(f"`{word}`", _prose(meaning)) for word, meaning in meanings(vocabulary.words).items()]
    head = [f"## {vocabulary.title}", "", vocabulary.introduction, ""]
    return "\n".join([*head, *_table("Word", "Meaning"), *rows, ""])


def meanings(words: type[Enum]) -> dict[str, str]:
    """The members of an enum, each with the string that stands below it in the source.

    Raises:
        ValueError: a member has no such string; the text names it.
    """
    body = ast.parse(textwrap.dedent(inspect.getsource(words))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for statement, below in zip(body.body, body.body[1:], strict=False):
        match statement, below:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    missing = words.__members__.keys() - found.keys()
    if missing:
        raise ValueError(f"{words.__name__} does not explain {', '.join(sorted(missing))}")
    return found


def _prose(text: str) -> str:
    """Markdown would take `<claim>` for a tag and show nothing."""
    return text.replace("<", "&lt;")


def _table(*titles: str) -> list[str]:
    return [_row(*titles), "|" + " --- |" * len(titles)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
