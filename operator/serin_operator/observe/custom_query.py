"""What a custom gate asks: parameters filled in, and the query or address checked before anything leaves the operator.

The author of a ModelDeployment may read the metrics of its own namespace and nothing else. So every selector of a
query must name that namespace, which only the query's syntax tree can tell: in its text a comment, a quotation mark
or an alternative hides what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import promql_parser
from promql_parser import Call, MatchOp, VectorSelector

QUERY_CHARS_MAX = 4096
"""Of a query with its parameters filled in."""
DEPTH_MAX = 20
"""Brackets within brackets. The parser is native code that descends by recursion, and its stack has an end."""
OPERATORS_MAX = 64
"""For the same reason: signs and powers descend as brackets do."""
PARAMETERS = ("name", "namespace", "candidate", "stable", "revision", "cohort")

_PARAMETER = re.compile(r"\{\{([^{}]*)\}\}")
_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,158}[A-Za-z0-9])?")
"""Names of the API server's and cohorts of Serin's: in a quoted string and in a path each stands for itself."""
_NOT_TAKEN = re.compile(r"[^\n\t -~]|[\\'`#]")
"""Without escapes, comments and other quotation marks a string ends at the next mark, whoever reads the query."""
_STRING = re.compile(r'"[^"]*"')
_HIDDEN_SELECTORS = frozenset({"info"})
"""Functions that read series that no selector in the query names."""


class RefusedError(Exception):
    """The gate's question is not asked; the text says why, and what to write."""


@dataclass(frozen=True)
class Parameters:
    """What may stand in a query or a URL as `{{field}}`."""

    name: str
    namespace: str
    candidate: str
    stable: str
    cohort: str

    def values(self) -> Mapping[str, str]:
        """By parameter."""
        return {
            "name": self.name,
            "namespace": self.namespace,
            "candidate": self.candidate,
            "stable": self.stable,
            "revision": self.candidate,
            "cohort": self.cohort,
        }


def query_of(template: str, parameters: Parameters) -> str:
    """The query as Prometheus is asked it.

    Raises:
        RefusedError: it cannot be read, is too deep, or one of its selectors may look beyond the namespace.
    """
    _check_text(template)
    for hit in _PARAMETER.finditer(template):
        if template.count('"', 0, hit.start()) % 2 == 0:
            raise RefusedError(f'{hit.group()[:40]} stands outside quotation marks; write it as in pod="{{{{name}}}}"')
    query = _filled(template, parameters)
    if len(query) > QUERY_CHARS_MAX:
        raise RefusedError(f"the query has more than {QUERY_CHARS_MAX} characters with its parameters filled in")
    _check_depth(_STRING.sub('""', query))
    _check_selectors(query, parameters.namespace)
    return query


def url_of(template: str, parameters: Parameters, hosts: Collection[str]) -> str:
    """The URL of a JSON document, on one of the hosts that the operator allows (`host` or `host:port`).

    Raises:
        RefusedError: it is no plain http or https URL, or its host is not among them.
    """
    # Parts are told apart before anything is filled in: a parameter may name no host.
    if re.search(r"[^!-~]|[\\#]", template):
        raise RefusedError("the url has a character that may not stand in one, a backslash or a fragment")
    try:
        parts = urlsplit(template)
        port = parts.port
    except ValueError as error:
        raise RefusedError("the url cannot be read; write https://host/path") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "{" in parts.netloc:
        raise RefusedError("the url must begin with http:// or https:// and a host, without a user or a parameter")
    named = parts.hostname.lower()
    usual = {"http": 80, "https": 443}[parts.scheme]
    bracketed = f"[{named}]" if ":" in named else named
    wanted = {f"{bracketed}:{port or usual}"} | ({bracketed} if port in (None, usual) else set())
    if not wanted & {host.lower() for host in hosts}:
        raise RefusedError("its host is not among those that the operator may ask; see customGates.hosts of the chart")
    return _filled(template, parameters)


def _filled(template: str, parameters: Parameters) -> str:
    values = parameters.values()

    def value(hit: re.Match[str]) -> str:
        name = hit.group(1).strip()
        if name not in values:
            raise RefusedError(f"there is no parameter of that name; there are {', '.join(PARAMETERS)}")
        if not _VALUE.fullmatch(values[name]):
            raise RefusedError(f"{{{{{name}}}}} has no value at this time")
        return values[name]

    return _PARAMETER.sub(value, template)


def _check_text(query: str) -> None:
    if _NOT_TAKEN.search(query):
        raise RefusedError(
            "the query may have ASCII characters only, strings in double quotation marks, no backslash and no comment; "
            "in a regular expression write [.] for a point"
        )
    if query.count('"') % 2:
        raise RefusedError("a string of the query does not end")


def _check_depth(code: str) -> None:
    """Raises RefusedError where the query, without its strings, would need much of the parser's stack."""
    depth = deepest = 0
    for char in code:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > DEPTH_MAX:
        raise RefusedError(f"the query has more than {DEPTH_MAX} brackets within each other")
    if sum(char in "+-*/%^=<>!@" for char in code) > OPERATORS_MAX:
        raise RefusedError(f"the query has more than {OPERATORS_MAX} operators")


def _check_selectors(query: str, namespace: str) -> None:
    """Raises RefusedError unless all series that are read are the namespace's."""
    try:
        tree = promql_parser.parse(query)
    except ValueError as error:
        # The parser's words quote the query, and a status is read by more people than a spec.
        raise RefusedError("the query is no PromQL that can be read; try it in Prometheus") from error
    problems: list[str] = []

    def visit(node: object) -> None:
        if isinstance(node, Call) and node.func.name in _HIDDEN_SELECTORS:
            problems.append(f"{node.func.name}() reads series that no selector names and is not allowed")
        if isinstance(node, VectorSelector) and not _is_confined(node, namespace):
            problems.append(
                f'a selector of the query lacks namespace="{namespace}"; write namespace="{{{{namespace}}}}" in each'
            )

    promql_parser.walk(tree, pre_visit=visit)
    if problems:
        raise RefusedError(problems[0])


def _is_confined(selector: VectorSelector, namespace: str) -> bool:
    """Whether it selects by equality with the namespace, in every alternative that it has."""
    if selector.matchers.or_matchers:
        return False
    return any(
        matcher.name == "namespace" and matcher.op == MatchOp.Equal and matcher.value == namespace
        for matcher in selector.matchers.matchers
    )
