# SPDX-License-Identifier: Apache-2.0
"""A literal that can't work is refused where the DAG is parsed, by every operator, mapped or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_evolink.decorators.evolink import evolink_task
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from airflow_provider_evolink.operators.recover import EvoLinkRecoverOperator
from airflow_provider_evolink.operators.upload import EvoLinkUploadOperator
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator

GIVEN: dict[Callable[..., Any], dict[str, Any]] = {
    EvoLinkGenerateOperator: {"model": "m", "parameters": {}},
    EvoLinkImageToVideoOperator: {"prompt": "x", "image": "/a.png"},
    evolink_task: {"model": "m"},
    EvoLinkGenerationSensor: {"generation_id": "task-unified-1757165031-uyujaw3d"},
    EvoLinkBatchOperator: {"model": "m", "requests": "/rows.csv", "key": "sku", "destination": "/videos"},
    EvoLinkToObjectStorageOperator: {"generation": "task-unified-1757165031-uyujaw3d", "destination": "/videos"},
    EvoLinkRecoverOperator: {"destination": "/videos"},
    EvoLinkUploadOperator: {"source": "/a.png"},
}
WAITING: dict[str, list[Any]] = {
    "timeout": [-5, 0, "soon", True, timedelta(days=31)],
    "poll_interval": [-1, 0, 0.01, "often"],
}
LANDING: dict[str, list[Any]] = {
    "destination": ["videos", "s3:///x", Path("/videos"), 5],
    "filename_pattern": ["{nonsense}", None],
}
CHOICES: dict[str, list[Any]] = {
    "on_existing": ["maybe", None],
    "on_clear": ["foo", None],
    "on_changed_input": ["foo"],
    "on_unknown_submission": ["foo"],
    "upload": ["maybe", True],
}
PAYING: dict[str, list[Any]] = {
    "media_type": ["film", ""],
    "min_credits_left": [-1, "many", True],
    "model": [5, " "],
    **CHOICES,
    **LANDING,
    **WAITING,
}
CALLBACK: dict[str, list[Any]] = {"callback_url": ["http://example.com/", "no", 5]}
ROWS: dict[str, list[Any]] = {
    "key": ["", None, 5],
    "requests": ["/rows.xlsx", None, 5],
    "max_credits": [0, "many"],
    "max_in_flight": [0, "many", None],
    "manifest": ["../x", 5],
    "parameters": ["x", 5],
    "destination": [*LANDING["destination"], None],
    "filename_pattern": ["{", None],
}
INVALID: dict[Callable[..., Any], dict[str, list[Any]]] = {
    EvoLinkGenerateOperator: {**PAYING, **CALLBACK, "parameters": ["x", None]},
    EvoLinkImageToVideoOperator: {**PAYING, **CALLBACK},
    evolink_task: {**PAYING, **CALLBACK},
    EvoLinkGenerationSensor: {**WAITING, "generation_id": ["", "no id", None]},
    EvoLinkBatchOperator: {**PAYING, **ROWS},
    EvoLinkToObjectStorageOperator: {
        **LANDING,
        "generation": ["no id", None],
        "on_existing": ["maybe"],
        "destination": [*LANDING["destination"], None],
    },
    EvoLinkRecoverOperator: {
        **LANDING,
        "lookback": [0, "long"],
        "min_age": [-1],
        "max_generations": [0],
        "model": [5],
        "destination": [*LANDING["destination"], None],
    },
    EvoLinkUploadOperator: {"source": ["", None, 5]},
}
CONNECTION = {"evolink_conn_id": ["", None, 5]}
CASES = [
    pytest.param(make, name, value, id=f"{make.__name__}-{name}-{value}")
    for make, arguments in INVALID.items()
    for name, values in {**arguments, **CONNECTION}.items()
    for value in values
]
TEMPLATED = ("{{ a }}", "{% if a %}b{% endif %}")


def arguments_of(make: Callable[..., Any], **changed: Any) -> dict[str, Any]:
    """Return valid arguments, with some of them changed."""
    named = {} if make is evolink_task else {"task_id": "task"}
    return {**named, **GIVEN[make], **changed}


def is_mapped(case: Any) -> bool:
    """Whether a mapped task may have the argument of a case outside of its expansion."""
    make, name, _ = case.values
    return make is not evolink_task and (make, name) != (EvoLinkGenerateOperator, "parameters")


@pytest.mark.parametrize(("make", "name", "value"), CASES)
def test_a_literal_is_refused(make: Callable[..., Any], name: str, value: Any) -> None:
    """The error names the argument and what is allowed."""
    with pytest.raises(EvoLinkFailException, match=f"^`{name}`=.* is invalid: must be "):
        make(**arguments_of(make, **{name: value}))


@pytest.mark.parametrize(("make", "name", "value"), list(filter(is_mapped, CASES)))
def test_a_literal_of_a_mapped_task_is_refused(make: Any, name: str, value: Any) -> None:
    """What all instances of a mapped task share is checked as well."""
    with pytest.raises(EvoLinkFailException, match=f"^`{name}`=.* is invalid: must be "):
        make.partial(**arguments_of(make, **{name: value}))


@pytest.mark.parametrize("make", [make for make in GIVEN if make is not evolink_task], ids=lambda make: make.__name__)
def test_what_is_rendered_later_passes(make: Any) -> None:
    """A template, and the output of another task, are checked once they have a value."""
    # A recovery has to find the field {generation_id} in its pattern.
    fixed = {"filename_pattern"} if make is EvoLinkRecoverOperator else set()
    later = [name for name in INVALID[make] if name in make.template_fields and name not in fixed]
    with DAG("dag", schedule=None):
        output = EvoLinkUploadOperator(task_id="upload", source="/a.png").output
        for number, value in enumerate((*TEMPLATED, output)):
            given = arguments_of(make, **dict.fromkeys(later, value))
            make(**{**given, "task_id": f"task{number}"})


def test_an_instance_of_a_mapped_task_claims_nothing_of_earlier_tries() -> None:
    """It is refused before it has a ledger: the error is about this attempt, since an earlier try may have paid."""
    with DAG("dag", schedule=None):
        mapped = EvoLinkGenerateOperator.partial(task_id="task", parameters={}).expand(model=["a", "b"])
    with pytest.raises(EvoLinkFailException, match=r"^`model`=' ' is invalid") as caught:
        mapped.operator_class(**{"task_id": "task", **mapped.partial_kwargs, "model": " "})

    assert ". This attempt sent nothing and cost nothing. Airflow does not retry this task" in str(caught.value)
    assert "charged" not in str(caught.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_airflow_cannot_store(number: float) -> None:
    """They are refused by the name of their parameter, wherever they are in it, by mapped tasks too."""
    given = arguments_of(EvoLinkGenerateOperator, parameters={"model_params": {"scales": [1, number]}})
    image = arguments_of(EvoLinkImageToVideoOperator, duration=number)
    for make in (EvoLinkGenerateOperator, EvoLinkGenerateOperator.partial):
        with pytest.raises(EvoLinkFailException, match=rf"^`model_params.scales\[1\]`={number} .* be a finite number"):
            make(**given)
    for make in (EvoLinkImageToVideoOperator, EvoLinkImageToVideoOperator.partial):
        with pytest.raises(EvoLinkFailException, match=f"^`duration`={number} is invalid: must be a finite number"):
            make(**image)
    with pytest.raises(EvoLinkFailException, match=f"^`duration`={number} is invalid: must be a finite number"):
        EvoLinkBatchOperator(**arguments_of(EvoLinkBatchOperator, parameters={"duration": number}))


@pytest.mark.parametrize("make", [make for make in GIVEN if make is not evolink_task], ids=lambda make: make.__name__)
def test_a_refusal_while_a_dag_is_parsed(make: Any) -> None:
    """It names the task, and makes no claim about downloads or costs of an attempt: there was none."""
    name = next(name for name in ("destination", "timeout", "source", "evolink_conn_id") if name in INVALID[make])
    given = arguments_of(make, **{name: INVALID[make][name][0]})
    for construct in (make, make.partial):
        with DAG("dag", schedule=None), pytest.raises(EvoLinkFailException) as caught:
            construct(**given)
        assert str(caught.value).endswith(". This argument of task 'task' was refused when the DAG was parsed.")
        assert "attempt" not in str(caught.value)
