# SPDX-License-Identifier: Apache-2.0
"""Tests of where a sensor must not end in the triggerer: wherever Airflow would leave something out."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.listeners import hookimpl
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, TriggerRule
from airflow.sdk.bases.xcom import BaseXCom

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.compat.endings import listener_manager
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.sensors.evolink import EvoLinkGenerationSensor
from airflow_provider_evolink.triggers.evolink import EvoLinkGenerationTrigger
from airflow_provider_evolink.triggers.sensor import EvoLinkSensorTrigger
from tests.task_harness import TaskHarness

ID = "task-unified-1757165031-uyujaw3d"
FORM = r"^`end_in_triggerer`=True is invalid: must be False .*This attempt sent nothing and cost nothing"


def sensor(**kwargs: Any) -> EvoLinkGenerationSensor:
    """Return a sensor that ends in the triggerer."""
    return EvoLinkGenerationSensor(**{"task_id": "collect", "generation_id": ID, "end_in_triggerer": True, **kwargs})


def note(*_: Any) -> None:
    """Do nothing, as a callback."""


class Noting(EvoLinkGenerationSensor):
    """A sensor with something to do after its end."""

    def post_execute(self, context: Any, result: Any = None) -> None:
        """Do nothing."""


DECLARED: dict[str, dict[str, Any]] = {
    "deferrable": {"deferrable": False},
    "outlets": {"outlets": [Asset("videos")]},
    "on_success_callback": {"on_success_callback": note},
    "post_execute": {"post_execute": note},
    "multiple_outputs": {"multiple_outputs": True},
}


@pytest.mark.parametrize("name", DECLARED)
def test_refused_when_parsed(name: str) -> None:
    """What needs a worker at the end is refused where the DAG is parsed, and the error names it and the task."""
    with DAG("dag", schedule=None), pytest.raises(EvoLinkFailException, match=rf"must be False .*{name}") as caught:
        sensor(**DECLARED[name])
    assert isinstance(caught.value.error, InvalidInputError)
    assert "This argument of task 'collect' was refused when the DAG was parsed." in str(caught.value)


def test_refused_by_default_arguments() -> None:
    """A callback that all tasks of a DAG have by ``default_args`` counts."""
    with (
        DAG("dag", schedule=None, default_args={"on_success_callback": note}),
        pytest.raises(EvoLinkFailException, match="on_success_callback"),
    ):
        sensor()


def test_refused_by_a_subclass() -> None:
    """A subclass with a ``post_execute`` of its own is refused."""
    with pytest.raises(EvoLinkFailException, match="post_execute"):
        Noting(task_id="collect", generation_id=ID, end_in_triggerer=True)


@pytest.mark.parametrize(("name", "value"), [("outlets", [Asset("videos")]), ("on_success_callback", [note])])
def test_refused_when_added_later(emulator: EmulatorHandle, harness: TaskHarness, name: str, value: Any) -> None:
    """What a cluster policy adds to a task is refused when it runs, and nothing is sent."""
    task = sensor()
    setattr(task, name, value)
    with pytest.raises(EvoLinkFailException, match=FORM) as caught:
        task.execute(harness.context)
    assert name in str(caught.value)
    assert emulator.control.state()["requests"]["total"] == 0


class _Backend(BaseXCom):
    """An XCom backend, as an administrator may configure one."""


class _Listener:
    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        """Do nothing."""


def test_refused_with_an_xcom_backend(
    emulator: EmulatorHandle, harness: TaskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend, which may block the triggerer, is refused when the task runs, and nothing is sent."""
    monkeypatch.setattr("airflow.sdk.execution_time.xcom.XCom", _Backend)
    with pytest.raises(EvoLinkFailException, match=FORM) as caught:
        sensor().execute(harness.context)
    assert "xcom_backend" in str(caught.value)
    assert emulator.control.state()["requests"]["total"] == 0


def test_refused_with_a_listener(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A listener for tasks that succeed, which would not be called, is refused when the task runs."""
    listener = _Listener()
    listener_manager().pm.register(listener)
    try:
        with pytest.raises(EvoLinkFailException, match=FORM) as caught:
            sensor().execute(harness.context)
    finally:
        listener_manager().pm.unregister(listener)
    assert "OpenLineage" in str(caught.value)
    assert emulator.control.state()["requests"]["total"] == 0


def test_refused_if_others_are_mapped_over_the_record(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Airflow would not learn how many instances a task has that is mapped over the record's fields."""
    with DAG("dag", schedule=None):
        task = sensor()
        EmptyOperator.partial(task_id="each").expand(doc=task.output)
    with pytest.raises(EvoLinkFailException, match=FORM) as caught:
        task.execute(harness.context)
    assert "mapped" in str(caught.value)


def test_refused_if_it_is_the_result_of_the_dag(harness: TaskHarness) -> None:
    """Airflow would not mark the record as the DAG's result."""
    task = sensor()
    task.returns_dag_result = True
    with pytest.raises(EvoLinkFailException, match=rf"{FORM}"):
        task.execute(harness.context)


@pytest.mark.usefixtures("leaping")
def test_what_is_kept_is_allowed(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Failure callbacks, soft_fail, retries and mapped instances are no obstacle: failures end on a worker."""
    emulator.control.inject("not_found", on="read", times=None)
    harness.ti.is_mapped = True
    with DAG("dag", schedule=None):
        task = sensor(
            generation_id="task-unified-9999999999-new",
            on_failure_callback=note,
            on_retry_callback=note,
            on_skipped_callback=note,
            on_execute_callback=note,
            soft_fail=True,
            retries=3,
            do_xcom_push=False,
            trigger_rule=TriggerRule.ALL_DONE,
        )
        EmptyOperator.partial(task_id="each").expand(doc=task.output)

    with pytest.raises(TaskDeferred) as deferred:
        task.execute(harness.context)

    assert isinstance(deferred.value.trigger, EvoLinkSensorTrigger)
    assert deferred.value.trigger.pushes_record is False


@pytest.mark.usefixtures("leaping")
def test_off_by_default(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Without the argument the task ends on a worker."""
    emulator.control.inject("not_found", on="read", times=None)
    with pytest.raises(TaskDeferred) as deferred:
        sensor(generation_id="task-unified-9999999999-new", end_in_triggerer=False).execute(harness.context)
    assert type(deferred.value.trigger) is EvoLinkGenerationTrigger
