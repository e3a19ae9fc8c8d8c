"""Where requests come in, and who splits them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from serin_operator.api.base import ApiModel
from serin_operator.api.fields import NAME_PATTERN, Hostname
from serin_operator.api.markers import Rule, Schema


class ParentReference(ApiModel):
    """The Gateway that takes the traffic in."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="Name of the Gateway.")]
    namespace: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            description="Namespace of the Gateway; this one by default. Its allowedRoutes must admit us.",
        ),
    ] = None
    section_name: Annotated[
        str | None,
        Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="One listener of the Gateway."),
    ] = None


class RouteReference(ApiModel):
    """One rule of an HTTPRoute that someone else owns."""

    name: Annotated[
        str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="Name of the HTTPRoute.")
    ]
    rule: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=NAME_PATTERN,
            description="Name of the rule, as its `name` says. Serin writes its backendRefs and filters, nothing else.",
        ),
    ]


class Stickiness(ApiModel):
    """Callers stay with their arm, by a cookie; the candidate's audience only grows with its weight."""

    cookie: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern=r"^[A-Za-z0-9_-]+$",
            description="Name of the cookie; one of its own for each model under the same host name.",
        ),
    ]


class Traffic(ApiModel):
    """Who splits the traffic: an HTTPRoute of Serin's own, or one rule of yours."""

    parent_refs: Annotated[
        tuple[ParentReference, ...] | None,
        Field(min_length=1, max_length=8, description="Gateways that Serin's own route attaches to."),
        Schema(
            list_type="atomic",
            rules=(
                Rule(
                    "self.all(p, self.exists_one(q, q == p))",
                    "each Gateway may be named once; name another sectionName to attach to two listeners",
                ),
            ),
        ),
    ] = None
    route_ref: Annotated[
        RouteReference | None,
        Field(description="A rule of your own HTTPRoute in this namespace, instead of a route of Serin's own."),
    ] = None
    hostnames: Annotated[
        tuple[Hostname, ...] | None,
        Field(max_length=16, description="Host names that the route answers; all of the listener's by default."),
        Schema(list_type="set"),
    ] = None
    stickiness: Annotated[
        Stickiness | None,
        Field(description="Keep each caller with one arm; by default every request is split by itself."),
    ] = None
