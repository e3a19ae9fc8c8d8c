"""The CustomResourceDefinitions, made from the models."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from serin_contract.labels import GROUP, VERSION
from serin_operator.api.deployment import MODEL_DEPLOYMENT_COLUMNS, ModelDeployment
from serin_operator.api.markers import PrinterColumn, Rule
from serin_operator.api.restrictions import check
from serin_operator.api.revision import MODEL_REVISION_COLUMNS, ModelRevision
from serin_operator.api.rules import MODEL_DEPLOYMENT_RULES
from serin_operator.api.structural import Json, structural

CATEGORIES = ("serin",)

ROOT_PROPERTIES: Json = {
    "apiVersion": {
        "description": f"Version of this schema: {GROUP}/{VERSION}.",
        "type": "string",
        "maxLength": 317,
    },
    "kind": {"description": "Kind of the object.", "type": "string", "maxLength": 63},
    "metadata": {"type": "object"},
}
"""What every object has. Kubernetes knows metadata itself and refuses a schema for more than its name."""


@dataclass(frozen=True)
class Kind:
    """One kind of the group."""

    model: type[BaseModel]
    plural: str
    short_name: str
    columns: tuple[PrinterColumn, ...]
    rules: tuple[Rule, ...] = ()

    @property
    def name(self) -> str:
        """The kind as it stands in a manifest."""
        return self.model.__name__

    @property
    def file_name(self) -> str:
        """Where its CRD lies under `crds/`."""
        return f"{GROUP}_{self.plural}.yaml"


KINDS = (
    Kind(ModelDeployment, "modeldeployments", "mdep", MODEL_DEPLOYMENT_COLUMNS, MODEL_DEPLOYMENT_RULES),
    Kind(ModelRevision, "modelrevisions", "mrev", MODEL_REVISION_COLUMNS),
)


def crd(kind: Kind) -> Json:
    """The CustomResourceDefinition of a kind.

    Raises:
        SchemaError: the model asks for something that a CRD of Serin cannot or must not say.
    """
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": list(CATEGORIES),
            },
            "versions": [_version(kind)],
        },
    }


def root_schema(kind: Kind) -> Json:
    """The checked schema of a kind, without the fields that every Kubernetes object has."""
    schema = structural(kind.model)
    if kind.rules:
        schema["x-kubernetes-validations"] = [rule.as_validation() for rule in kind.rules]
    check(schema)
    return schema


def _version(kind: Kind) -> Json:
    schema = root_schema(kind)
    properties = {**ROOT_PROPERTIES, **schema.pop("properties")}
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": {**schema, "properties": properties}},
    }


def _column(column: PrinterColumn) -> Json:
    shown: Json = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.json_path,
        "description": column.description,
    }
    return {**shown, "priority": column.priority} if column.priority else shown
