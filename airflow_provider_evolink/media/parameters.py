# SPDX-License-Identifier: Apache-2.0
"""Find the media among a model's parameters, and put something else in their place. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.media_rules import MediaRule

Replace = Callable[[Any, str], Any]


def rules_for(model: str) -> Mapping[str, MediaRule]:
    """Return what the media parameters of a model take, by path.

    For a model that is not in the catalog: those that any documented model has, as links without limits.
    """
    known = catalog.find(model)
    return _any_model() if known is None else {path: rule for path, rule in known.media.items() if rule.is_media}


def replaced(parameters: Mapping[str, Any], path: str, replace: Replace) -> dict[str, Any]:
    """Return the parameters with what is at a path replaced, inside lists too.

    :param path: such as ``model_params.refer_images.image_url``; a star stands for any name.
    :param replace: gets each value there and its dotted name, such as ``model_params.refer_images[0].image_url``.
    """
    result: dict[str, Any] = _replaced(parameters, path.split("."), "", replace)
    return result


def _replaced(value: Any, names: Sequence[str], path: str, replace: Replace) -> Any:
    if not names:
        return value if value is None else replace(value, path)
    if isinstance(value, list):
        return [_replaced(inner, names, f"{path}[{index}]", replace) for index, inner in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    name, *rest = names
    found = list(value) if name == "*" else [name] if name in value else []
    inner = {key: _replaced(value[key], rest, f"{path}.{key}".removeprefix("."), replace) for key in found}
    return {**value, **inner}


@cache
def _any_model() -> Mapping[str, MediaRule]:
    """Return the rules of an undocumented model: names that are media in any documented one."""
    models = filter(None, map(catalog.find, catalog.names()))
    documented = (item for model in models for item in model.media.items() if item[1].is_media)
    # What may be a name as well as a file is left alone.
    return {
        path: MediaRule(rule.kind, is_list=rule.is_list) for path, rule in documented if "voice_id" not in rule.forms
    }
