"""What Kubernetes wants to know of a field beyond its type, as annotations on pydantic fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Rule:
    """A CEL rule of the CRD with the sentence a user reads when it does not hold."""

    rule: str
    message: str
    reason: Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"] = "FieldValueInvalid"
    field_path: str | None = None

    def as_validation(self) -> dict[str, str]:
        """The rule as an entry of x-kubernetes-validations."""
        entry = {"rule": self.rule, "message": self.message}
        if self.reason != "FieldValueInvalid":
            entry["reason"] = self.reason
        if self.field_path is not None:
            entry["fieldPath"] = self.field_path
        return entry


@dataclass(frozen=True)
class Schema:
    """Extra keys of one field's or model's structural schema."""

    rules: tuple[Rule, ...] = ()
    list_type: Literal["atomic", "set", "map"] | None = None
    list_map_keys: tuple[str, ...] = ()
    map_type: Literal["atomic", "granular"] | None = None
    preserve_unknown: bool = False
    int_or_string: bool = False
    format: str | None = None

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add these keys to what pydantic says of the field; rules of several markers add up."""
        schema = {**handler(core_schema), **self._keys()}
        validations = [*schema.get("x-kubernetes-validations", ()), *(r.as_validation() for r in self.rules)]
        if validations:
            schema["x-kubernetes-validations"] = validations
        return schema

    def _keys(self) -> dict[str, Any]:
        keys: dict[str, Any] = {
            "format": self.format,
            "x-kubernetes-list-type": self.list_type,
            "x-kubernetes-list-map-keys": list(self.list_map_keys),
            "x-kubernetes-map-type": self.map_type,
            "x-kubernetes-preserve-unknown-fields": self.preserve_unknown,
            "x-kubernetes-int-or-string": self.int_or_string,
        }
        return {key: value for key, value in keys.items() if value}


@dataclass(frozen=True)
class PrinterColumn:
    """One column of `kubectl get`."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "date"]
    json_path: str
    description: str
    priority: int = 0
