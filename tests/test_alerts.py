# SPDX-License-Identifier: Apache-2.0
"""The recipe of the documentation: a failed task posts which generation failed, why, and what it cost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_evolink.api.error_facts import ATTRIBUTES
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from testkit.webhook import WebhookReceiver
from tests.documents import ROOT, run_code
from tests.loaded_dag import store_dags
from tests.operators.submissions import TEXT

pytestmark = pytest.mark.usefixtures("exceptions_for_callbacks")

PAGE = ROOT / "docs" / "how-to" / "alerts.md"


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
    """The receiver behind the connection ``alerts``."""
    with WebhookReceiver() as receiver:
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS", receiver.connection)
        yield receiver


def fail(monkeypatch: pytest.MonkeyPatch, **kwargs: Any) -> None:
    """Run a task with the recipe's callback, as Airflow runs it, to its failure."""
    from tests.loaded_dag import DagBag

    monkeypatch.setenv("AIRFLOW__EVOLINK__POLL_INTERVAL", "1")
    post_failure = run_code(PAGE)["post_failure"]
    with DAG("failing", schedule=None) as dag:
        EvoLinkGenerateOperator(
            task_id="video",
            model=TEXT,
            parameters={"prompt": "A lighthouse", "duration": 3},
            on_failure_callback=post_failure,
            **kwargs,
        )
    bag = DagBag(os.devnull)
    bag.bag_dag(dag)
    store_dags(bag)

    assert dag.test().state == "failed"


@pytest.mark.filterwarnings("default")
def test_a_failed_generation(
    emulator: EmulatorHandle, webhook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deferred task whose generation fails posts its id, code and credits."""
    emulator.control.inject("generation_failed", on="submit", times=1, code="content_policy_violation")

    fail(monkeypatch)

    [alert] = webhook.received
    [made] = emulator.control.state()["generations"]
    assert alert["task_id"] == "video"
    assert alert["generation_id"] == made["id"]
    assert (alert["code"], alert["model"], alert["conn_id"]) == ("content_policy_violation", TEXT, "evolink_default")
    assert alert["credits_reserved"] > 0
    assert (alert["charged"], alert["retryable"]) == (False, False)
    assert alert["detail"]
    assert emulator.api_key not in str(alert)


@pytest.mark.filterwarnings("default")
def test_a_refused_submission(
    emulator: EmulatorHandle, webhook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task without enough credits posts EvoLink's code and request id, and that nothing was charged."""
    emulator.control.add_credits(-emulator.control.state()["credits"]["balance"])

    fail(monkeypatch)

    [alert] = webhook.received
    assert (alert["generation_id"], alert["charged"]) == (None, False)
    assert alert["code"]
    assert alert["request_id"]


def test_the_page_lists_every_attribute() -> None:
    """The recipe and the table have the attributes that exceptions have."""
    text = PAGE.read_text(encoding="utf-8")
    table = text[: text.index("## Post them")]

    assert set(run_code(PAGE)["ATTRIBUTES"]) == {*ATTRIBUTES, "retryable"}
    assert [name for name in (*ATTRIBUTES, "retryable") if f"| `{name}` |" not in table] == []
