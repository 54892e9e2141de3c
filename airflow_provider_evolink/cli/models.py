# SPDX-License-Identifier: Apache-2.0
"""``airflow evolink models``: the models that EvoLink documents, and what their parameters allow."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.catalog import Model
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.schema import in_words
from airflow_provider_evolink.cli.running import DONE, command, is_for_programs, show

Schema = Mapping[str, Any]


@command
def models(args: Namespace) -> int:
    """Print all models, or one."""
    if args.model is None:
        known = [model for name in catalog.names() if (model := catalog.find(name))]
        _show([summary(each) for each in known if args.media in (None, _media(each))], args.output)
        return DONE
    model = _find(args.model)
    parameters = list(described(model.schema))
    facts = {**summary(model), "documentation": model.documentation}
    if is_for_programs(args.output):
        show([{**facts, "parameters": parameters}], args.output)
    else:
        _show([facts], args.output)
        _show([{**row, "default": _shown_default(row["default"])} for row in parameters], args.output)
    return DONE


def summary(model: Model) -> dict[str, Any]:
    """Return a row on a model."""
    properties = model.schema.get("properties", {})
    return {
        "model": model.name,
        "media": _media(model),
        "required": list(model.schema.get("required", ())),
        "media_parameters": [name for name, schema in properties.items() if _takes_media(schema)],
        "link_hours": int(hours) if (hours := model.link_life.total_seconds() / 3600).is_integer() else hours,
        "note": f"withdrawn: use {model.replaced_by}" if model.replaced_by else None,
    }


def described(schema: Schema, path: str = "") -> Iterator[dict[str, Any]]:
    """Yield a row on each parameter of an object's schema, nested ones under dotted names."""
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        dotted = f"{path}.{name}" if path else name
        default, allowed = inner.get("default"), in_words(inner)
        yield {"parameter": dotted, "required": name in required, "allowed": allowed, "default": default}
        yield from described(inner, dotted)
        yield from described(inner.get("items", {}), f"{dotted}[]")


def _show(rows: Sequence[Mapping[str, Any]], output: str) -> None:
    """Print rows; a table has "yes" or nothing where JSON has a truth value or ``null``."""
    texts: Mapping[Any, str] = {} if is_for_programs(output) else {True: "yes", False: "", None: ""}
    show([{name: _text(value, texts) for name, value in row.items()} for row in rows], output)


def _text(value: Any, texts: Mapping[Any, str]) -> Any:
    return texts.get(value, value) if isinstance(value, bool | None) else value


def _shown_default(value: Any) -> str | None:
    return None if value is None else repr(value)


def _find(name: str) -> Model:
    model = catalog.find(name)
    if model is None:
        close = catalog.closest(name)
        hint = f"did you mean {close!r}?" if close else "`airflow evolink models` lists them"
        raise InvalidInputError("NAME", name, f"the id of a model that EvoLink documents ({hint})")
    return model


def _media(model: Model) -> str:
    """Return what it makes: ``video`` for ``/v1/videos/generations``."""
    return model.endpoint.split("/")[2].removesuffix("s")


def _takes_media(schema: Schema) -> bool:
    """Return whether a parameter takes links: all formats in the catalog are forms of media."""
    return "format" in schema or "format" in schema.get("items", {}) or any(map(_takes_media, schema.get("oneOf", ())))
