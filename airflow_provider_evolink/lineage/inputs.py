# SPDX-License-Identifier: Apache-2.0
"""Find what a request is made of: the stored files and the earlier generations among a model's parameters. Pure.

Links and data are left out: nobody knows a dataset by them, and a link may hold a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

from airflow_provider_evolink.lineage.datasets import Dataset, file, generation
from airflow_provider_evolink.media.parameters import replaced, rules_for
from airflow_provider_evolink.media.records import is_landed, is_record
from airflow_provider_evolink.media.texts import Form, form_of, is_location


def inputs_of(model: str, parameters: Mapping[str, Any]) -> list[Dataset]:
    """Return the stored files and the earlier generations that a request takes.

    :param model: EvoLink's model id.
    :param parameters: of the model, with media in any form that it takes.
    """
    found: list[Dataset] = []
    for path, rule in rules_for(model).items():
        may_be_name = "voice_id" in rule.forms

        def note(value: Any, _: str, may_be_name: bool = may_be_name) -> Any:
            found.extend(_stored(value, may_be_name=may_be_name))
            return value

        replaced(parameters, path, note)
    return list(dict.fromkeys(found))


def _stored(value: Any, *, may_be_name: bool) -> Iterator[Dataset]:
    if is_record(value):
        landed = [file(entry["uri"]) for entry in value.get("landed") or () if is_landed(entry)]
        yield from landed or [generation(value["generation_id"])]
    elif is_landed(value):
        yield file(value["uri"])
    elif isinstance(value, PathLike) or hasattr(value, "open"):
        yield file(str(value))
    elif isinstance(value, str) and _is_stored(value.strip(), may_be_name=may_be_name):
        yield file(value.strip())
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _stored(item, may_be_name=may_be_name)


def _is_stored(text: str, *, may_be_name: bool) -> bool:
    return bool(text) and form_of(text) is Form.LOCATION and (is_location(text) or not may_be_name)
