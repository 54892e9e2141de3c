# SPDX-License-Identifier: Apache-2.0
"""Turn the rows of a batch into requests: decide which fields of a row are parameters of its model."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_evolink.api import catalog, coercion
from airflow_provider_evolink.api.addresses import without_secrets
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.misspellings import meant
from airflow_provider_evolink.api.schema import Schema
from airflow_provider_evolink.operators.parameters import (
    as_parameters,
    image_parameters,
    naming_images,
    naming_missing_image,
)

if TYPE_CHECKING:
    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.batch.rows import Row
    from airflow_provider_evolink.hooks.evolink import EvoLinkHook
    from airflow_provider_evolink.media.resolver import UploadPolicy

_MODEL, _PARAMETERS, _CALLBACK_URL = "model", "parameters", "callback_url"
_IMAGE, _LAST_IMAGE = "image", "last_image"
_OWN_FIELDS = frozenset({_MODEL, _IMAGE, _LAST_IMAGE, _PARAMETERS})
_MAX_UNSENT = 50


class RowRequests:
    """Makes the requests of a batch's rows.

    A field of a row is sent if EvoLink documents a parameter of that name for the row's model; if the catalog does not
    know the model, for any model of the same endpoint. Five fields have a meaning of their own: ``model`` is used
    instead of the default; ``image`` and ``last_image`` are the first and the last frame, in any form; ``parameters``,
    a mapping, is sent as it is, with undocumented parameters too; and ``callback_url``. All other fields are not sent.

    Of several values of a parameter, a row's own field wins, then the row's ``parameters``, then those of all rows.
    Text from CSV becomes what its parameter takes: a number, true or false, a list (JSON, or of that one text) or an
    object (JSON).

    :param hook: checks the requests.
    :param model: EvoLink's model id for rows that name none.
    :param parameters: the parameters of all rows.
    :param name_fields: fields that name rows and files: they may look like a misspelled parameter.
    :param callback_url: for rows that name none.
    :param media_type: ``video``, ``image`` or ``audio``: the endpoint of models that the catalog does not know.
    :param upload: which media get a link; see :meth:`EvoLinkHook.prepare`.
    :raises InvalidInputError: ``parameters`` is not a mapping.
    """

    def __init__(
        self,
        hook: EvoLinkHook,
        model: object,
        parameters: object = None,
        *,
        name_fields: Collection[str] = (),
        callback_url: object = None,
        media_type: str | None = None,
        upload: UploadPolicy = "auto",
    ) -> None:
        self._hook = hook
        self._model = model
        self._common = {**as_parameters({} if parameters is None else parameters)}
        if callback_url is not None:
            self._common[_CALLBACK_URL] = callback_url
        self._name_fields = frozenset(name_fields)
        self._media_type = media_type
        self._upload = upload
        self._unsent: dict[str, None] = {}

    @property
    def unsent(self) -> list[str]:
        """The names of fields that were not sent, at most 50 of them, without those that name rows and files."""
        return sorted(self._unsent)

    def prepare(self, row: Row) -> GenerationRequest:
        """Check a row and make its request; nothing is sent.

        :raises InvalidInputError: EvoLink would reject it, or a field is most likely a misspelled parameter.
        :raises UnreadableInputError: its image can't be read.
        :raises ConnectionError, TimeoutError: its image can't be read at the moment. A retry may succeed.
        """
        model, parameters = self.given(row)
        if not self._frames(row, model):
            with naming_missing_image():
                return self._prepare(model, parameters)
        with naming_images():
            return self._prepare(model, parameters)

    def given(self, row: Row) -> tuple[str, dict[str, Any]]:
        """Return a row's model and its parameters, with media in the form that the row has them in.

        :raises InvalidInputError: as for :meth:`prepare`, as far as that is known without reading any media.
        """
        model = row.fields.get(_MODEL, self._model)
        if not isinstance(model, str) or not model.strip():
            raise InvalidInputError(_MODEL, model, "the id of an EvoLink model")
        known = _parameters_of(model, self._media_type)
        own: dict[str, object] = {}
        for name, value in row.fields.items():
            if name in known:
                own[name] = _parsed(name, value, known[name])
            elif name not in _OWN_FIELDS and name not in self._name_fields:
                self._leave_out(name, value, model)
        given = {**self._common, **_row_parameters(row), **own}
        images = self._frames(row, model)
        return model, {**given, **_parameters_of_frames(model, images, own)} if images else given

    def _frames(self, row: Row, model: str) -> dict[str, Any]:
        """Return the row's first and last frame, where they are not parameters of its model."""
        known = _parameters_of(model, self._media_type)
        return {name: row.fields[name] for name in (_IMAGE, _LAST_IMAGE) if name in row.fields and name not in known}

    def _prepare(self, model: str, parameters: Mapping[str, Any]) -> GenerationRequest:
        return self._hook.prepare(model, parameters, media_type=self._media_type, upload=self._upload)

    def _leave_out(self, name: str, value: object, model: str) -> None:
        looks_like = _meant(name, model, self._media_type)
        if looks_like is not None:
            allowed = (
                f"named `{looks_like}` if it is that; if not, rename the field, which looks like a misspelling of it"
            )
            raise InvalidInputError(name, without_secrets(value), allowed)
        if len(self._unsent) < _MAX_UNSENT:
            self._unsent[name] = None


def _parameters_of_frames(model: object, images: Mapping[str, object], own: Collection[str]) -> Mapping[str, Any]:
    if _IMAGE not in images:
        allowed = f"accompanied by an `{_IMAGE}`, the first frame"
        raise InvalidInputError(_LAST_IMAGE, without_secrets(images[_LAST_IMAGE]), allowed)
    parameters = image_parameters(model, images[_IMAGE], images.get(_LAST_IMAGE), videos_only=False)
    for name in parameters:
        if name in own:
            raise InvalidInputError(_IMAGE, without_secrets(images[_IMAGE]), f"left out, since the row has `{name}`")
    return parameters


def _row_parameters(row: Row) -> Mapping[str, Any]:
    given = row.fields.get(_PARAMETERS, {})
    return as_parameters(_from_json(_PARAMETERS, given, "{", "an object"))


def _parsed(name: str, value: object, schema: Schema) -> object:
    """Turn text into the type that its parameter takes; text that has no such form is left for the checks."""
    kind = schema.get("type")
    if not isinstance(value, str) or kind is None:
        return value
    if kind == "array":
        parsed = _from_json(name, value, "[", "a list")
        return [parsed] if isinstance(parsed, str) else parsed
    if kind == "object":
        return _from_json(name, value, "{", "an object")
    with suppress(InvalidInputError):
        return coercion.fit(value, {"type": kind}, name)
    return value


def _from_json(name: str, value: object, start: str, noun: str) -> object:
    if not isinstance(value, str) or not value.lstrip().startswith(start):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise InvalidInputError(name, value, f"{noun} in valid JSON") from None


@lru_cache(maxsize=64)
def _parameters_of(model: str, media_type: str | None) -> Mapping[str, Schema]:
    """Return the schemas of the parameters that a row's fields may be, by name."""
    known = catalog.find(model)
    documented = known.schema["properties"] if known else _parameters_at(catalog.endpoint_for(model, media_type))
    return {**documented, _CALLBACK_URL: {}}


@cache
def _parameters_at(endpoint: str) -> Mapping[str, Schema]:
    """Return the types of the parameters that any model of an endpoint documents, by name."""
    types: dict[str, set[str]] = {}
    for model in map(catalog.find, catalog.names()):
        for name, schema in model.schema["properties"].items() if model and model.endpoint == endpoint else ():
            types.setdefault(name, set()).update(branch["type"] for branch in schema.get("oneOf", (schema,)))
    # Where some models take text, such as "auto", text that is a number is a number all the same.
    return {name: {"type": min(kinds - {"string"}, default="string")} for name, kinds in types.items()}


@lru_cache(maxsize=1024)
def _meant(name: str, model: str, media_type: str | None) -> str | None:
    """Return the parameter that a field is most likely a misspelling of, if any."""
    return meant(name, (*_parameters_of(model, media_type), _IMAGE, _LAST_IMAGE, _MODEL, _PARAMETERS))
