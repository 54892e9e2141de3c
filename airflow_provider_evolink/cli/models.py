# SPDX-License-Identifier: Apache-2.0
"""``airflow evolink models``: the models that EvoLink documents, and what their parameters allow."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.catalog import Model
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.schema import in_words
from airflow_provider_evolink.cli.running import DONE, command, show

Schema = Mapping[str, Any]


@command
def models(args: Namespace) -> int:
    """Print all models, or one."""
    if args.model is None:
        known = [model for name in catalog.names() if (model := catalog.find(name))]
        show([summary(each) for each in known if args.media in (None, _media(each))], args.output)
        return DONE
    model = _find(args.model)
    parameters = list(described(model.schema))
    facts = {**summary(model), "documentation": model.documentation}
    if args.output in {"json", "yaml"}:
        show([{**facts, "parameters": parameters}], args.output)
    else:
        show([facts], args.output)
        show(parameters, args.output)
    return DONE


def summary(model: Model) -> dict[str, Any]:
    """Return a row on a model."""
    properties = model.schema.get("properties", {})
    return {
        "model": model.name,
        "media": _media(model),
        "required": ", ".join(model.schema.get("required", ())),
        "media_parameters": ", ".join(name for name, schema in properties.items() if _takes_media(schema)),
        "link_hours": f"{model.link_life.total_seconds() / 3600:g}",
        "note": f"withdrawn: use {model.replaced_by}" if model.replaced_by else "",
    }


def described(schema: Schema, path: str = "") -> Iterator[dict[str, str]]:
    """Yield a row on each parameter of an object's schema, nested ones under dotted names."""
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        dotted = f"{path}.{name}" if path else name
        default = "" if "default" not in inner else repr(inner["default"])
        is_required = "yes" if name in required else ""
        yield {"parameter": dotted, "required": is_required, "allowed": in_words(inner), "default": default}
        yield from described(inner, dotted)
        yield from described(inner.get("items", {}), f"{dotted}[]")


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
