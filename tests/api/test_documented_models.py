# SPDX-License-Identifier: Apache-2.0
"""Every documented model accepts what its documentation allows and rejects what lies just outside."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api import catalog, request
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.schema import check_schema, undocumented
from tests import hostile
from tests.api.documented_models import (
    dotted,
    each_model,
    fitting,
    minimal_request,
    parameter_paths,
    refusal,
    request_with,
    required_only,
    sample,
    schema_of,
    unfitting,
)


@each_model
def test_documented_values_pass(name: str) -> None:
    """Every default, every enumerated value and both ends of every range are accepted and known."""
    schema = schema_of(name)
    for path, rules in parameter_paths(schema):
        for value in fitting(rules):
            parameters = request_with(schema, path, value)
            check_schema(parameters, schema)
            assert list(undocumented(parameters, schema)) == []


@each_model
def test_every_model_accepts_its_minimal_request(name: str) -> None:
    """What the documentation requires is enough; only a model that EvoLink has replaced draws a warning."""
    model = catalog.find(name)
    assert model is not None
    assert len(request.check(name, minimal_request(name))) == bool(model.replaced_by or model.served_as)


@each_model
def test_undocumented_values_are_rejected(name: str) -> None:
    """For every parameter, a value of another type, out of range or not enumerated is rejected by name."""
    schema = schema_of(name)
    for path, rules in parameter_paths(schema):
        for value in unfitting(rules):
            rejected = refusal(name, request_with(schema, path, value)).parameter
            assert rejected == dotted(path) or rejected.startswith(dotted(path) + "["), (path, value)


@each_model
def test_required_parameters_are_required(name: str) -> None:
    """A request without any one of its model's required parameters is rejected."""
    schema = schema_of(name)
    for missing in schema.get("required", ()):
        parameters = {key: value for key, value in required_only(schema).items() if key != missing}
        error = refusal(name, parameters)
        assert error.parameter == missing
        assert error.allowed.startswith("given, as ")


@each_model
def test_every_model_accepts_a_callback(name: str) -> None:
    """``callback_url`` is known and checked for every model."""
    parameters = minimal_request(name)
    warnings = request.check(name, {**parameters, "callback_url": "https://example.com/hook"})
    assert not any("callback_url" in warning for warning in warnings)
    assert refusal(name, {**parameters, "callback_url": "https://10.0.0.1/hook"}).parameter == "callback_url"


@settings(max_examples=300)
@given(st.data())
def test_any_request_of_any_model_is_accepted_or_rejected(data: st.DataObject) -> None:
    """A full request of any model, with anything wrong in it, is encoded or rejected in a short, printable text."""
    name = data.draw(st.sampled_from(catalog.names()))
    full = {key: sample(rules) for key, rules in schema_of(name)["properties"].items()}
    parameters = data.draw(hostile.corrupted(full).filter(lambda value: isinstance(value, dict)))
    try:
        warnings = request.check(name, parameters)
        assert json.loads(request.encode_body({"model": name, **parameters}))["model"] == name
        assert all(map(len, warnings))
    except InvalidInputError as error:
        assert len(str(error).encode()) < 4000
