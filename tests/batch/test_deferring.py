# SPDX-License-Identifier: Apache-2.0
"""Workers and triggers of a batch: what travels between them, and what happens if one of them fails."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import HookLineageCollector, TaskDeferred
from airflow.sdk import Asset, AssetAlias, BaseOperator

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.links.evolink import MANIFEST_LINK_KEY
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from tests.batch.batches import batch, manifest, retry, rows, run
from tests.batch.outcomes import assert_all_landed, charges, failure_of, submissions
from tests.task_harness import TaskHarness, TaskInstance, first_event

pytestmark = pytest.mark.usefixtures("each_ledger")

ROWS = rows(5)


def start(harness: TaskHarness, operator: EvoLinkBatchOperator) -> dict[str, Any]:
    """Run the first worker, and return what Airflow stores until the next."""
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(harness.context)
    harness.deferrals.append(deferred.value)
    return json.loads(json.dumps(dict(deferred.value.kwargs or {})))  # type: ignore[no-any-return]


def end(harness: TaskHarness) -> None:
    """Wait until the generations that the last deferral waits for have ended."""
    asyncio.run(first_event(harness.deferrals[-1].trigger))


def test_nothing_travels_but_counts_and_ids(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Neither trigger, cursor nor XCom holds a prompt, a row, a link or an API key, and all of them are small."""
    table = rows(300, secret="a planted value")
    operator = batch(table, tmp_path, max_in_flight=300, max_credits=50_000)

    summary = run(harness, operator)

    assert_all_landed(summary, table, evolink)
    for deferral in harness.deferrals:
        stored = json.dumps([deferral.trigger.serialize(), deferral.kwargs])
        assert len(stored) < 6 * 1024
        for secret in ("Product", "planted", "A17", evolink.api_key, evolink.url, "prompt"):
            assert secret not in stored
    assert len(json.dumps([summary, harness.ti.xcoms])) < 1024
    assert harness.ti.xcoms[MANIFEST_LINK_KEY] == summary["manifest"]


def test_few_writes_for_many_rows(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """The ledger is written at most six times for a hundred rows, and no entry is larger than 32 KiB."""
    table = rows(400)

    summary = run(harness, batch(table, tmp_path, max_in_flight=100))

    assert summary["landed"] == 400
    assert len(harness.store.writes) <= 24
    assert max(map(len, harness.store.held.values())) < 32 * 1024


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger failure"])
def test_a_deferral_without_an_event_is_resumed(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, error: str
) -> None:
    """A trigger that fails, or is too late, costs nothing: the worker reads the generations itself."""
    operator = batch(ROWS, tmp_path, max_in_flight=2)
    kwargs = start(harness, operator)
    if error == "Trigger timeout":
        end(harness)

    try:
        summary = operator.resume_execution("__fail__", {**kwargs, "error": error}, harness.context)
    except TaskDeferred as deferred:
        assert error == "Trigger timeout"
        harness.deferrals.append(deferred)
        end(harness)
        summary = run(harness, operator)

    assert_all_landed(summary, ROWS, evolink)


def test_a_trigger_without_the_connection(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the triggerer lacks the connection the worker waits itself, does not defer again, and logs why."""
    operator = batch(ROWS, tmp_path, max_in_flight=2)
    kwargs = start(harness, operator)
    event = {"outcome": "no_connection", "ended": 0, "watched": 2, "detail": None}

    summary = operator.execute_complete(harness.context, event=event, **kwargs)

    assert_all_landed(summary, ROWS, evolink)
    assert "'evolink_default'" in capsys.readouterr().out.partition("[warning")[2]


@pytest.mark.parametrize("junk", [None, {}, "text", {"version": 99}, "position", "type"])
def test_a_cursor_that_can_t_be_used(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, junk: Any) -> None:
    """A worker that finds no usable cursor works everything out from the ledger, and pays for nothing twice."""
    operator = batch(ROWS, tmp_path, max_in_flight=2)
    cursor = start(harness, operator)["cursor"]
    end(harness)
    if junk == "position":
        junk = {name: value for name, value in cursor.items() if name != "position"}
    elif junk == "type":
        junk = {**cursor, "tally": 5}

    try:
        summary = operator.execute_complete(harness.context, event={}, cursor=junk)
    except TaskDeferred as deferred:
        harness.deferrals.append(deferred)
        end(harness)
        summary = run(harness, operator)

    assert_all_landed(summary, ROWS, evolink)


def test_a_cursor_from_before_a_dead_worker(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """If a worker is resumed with a cursor that another has used already, what that one submitted is found."""
    operator = batch(ROWS, tmp_path, max_in_flight=2)
    kwargs = start(harness, operator)
    end(harness)
    for _ in range(2):
        with pytest.raises(TaskDeferred):
            operator.execute_complete(harness.context, event={}, **kwargs)

    assert max(charges(evolink).values()) == 1
    assert_all_landed(run(harness, operator), ROWS, evolink)


def test_on_the_worker(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """With ``deferrable=False`` the worker waits itself, window by window."""
    summary = run(harness, batch(ROWS, tmp_path, max_in_flight=2, deferrable=False))

    assert harness.deferrals == []
    assert_all_landed(summary, ROWS, evolink)


def test_mapped_tasks_have_manifests_of_their_own(evolink: EmulatorHandle, tmp_path: Path) -> None:
    """Mapped tasks of one run, and other tasks, share a destination without overwriting each other's manifest."""
    tasks = [TaskInstance(map_index=0), TaskInstance(map_index=1), TaskInstance(task_id="other")]
    for number, ti in enumerate(tasks):
        table = rows(2)
        for row in table:
            row["sku"] = f"{number}-{row['sku']}"
        summary = run(TaskHarness(ti=ti), batch(table, tmp_path))
        assert summary["landed"] == 2
    names = sorted(path.name for path in tmp_path.glob("*.jsonl"))

    assert names == ["manifest-other.jsonl", "manifest-task-0.jsonl", "manifest-task-1.jsonl"]


def test_inside_another_task(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """Batches that are executed by hand wait on the worker, and each has a ledger and a manifest of its own."""
    for attempt in (1, 2):
        harness.ti = TaskInstance(task_id="outer", try_number=attempt)
        context = {**harness.context, "task": BaseOperator(task_id="outer")}
        first = batch(ROWS[:2], tmp_path, max_in_flight=1).execute(context)
        second = batch(ROWS[2:], tmp_path, max_in_flight=1).execute(context)
        assert [line["key"] for line in manifest(first)] == ["A0", "A1"]
        assert [line["key"] for line in manifest(second)] == ["A2", "A3", "A4"]

    assert submissions(evolink) == len(ROWS)


def test_a_kill_submits_nothing_more(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill nothing is sent; what was sent stays recorded, and a retry resumes it."""
    operator = batch(ROWS, tmp_path, max_in_flight=2)
    original = harness.store.set

    def kill(key: str, value: Any, *, retention: Any = None) -> None:
        original(key, value, retention=retention)
        if len(harness.store.writes) == 2:
            operator.on_kill()

    monkeypatch.setattr(harness.store, "set", kill)
    failure = failure_of(run, harness, operator)

    assert not failure.permanent
    assert submissions(evolink) == 2
    monkeypatch.setattr(harness.store, "set", original)
    assert_all_landed(retry(harness, batch(ROWS, tmp_path)), ROWS, evolink)


class Events:
    """Collects asset events, as Airflow does."""

    class Accessor:
        """The events of one outlet."""

        def __init__(self) -> None:
            self.extra: Any = None
            self.added: list[Any] = []

        def add(self, asset: Asset, extra: Any = None) -> None:
            """Add an event."""
            self.added.append((asset.uri, extra))

    def __init__(self) -> None:
        self._accessors: dict[str, Events.Accessor] = {}

    def __getitem__(self, outlet: Asset | AssetAlias) -> Accessor:
        return self._accessors.setdefault(outlet.name, self.Accessor())


def test_asset_events(evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """An alias gets an event for each file, an asset one with the summary."""
    alias, asset, events = AssetAlias("videos"), Asset("s3://bucket/videos"), Events()
    operator = batch(ROWS[:3], tmp_path, deferrable=False, outlets=[alias, asset])

    summary = operator.execute({**harness.context, "outlet_events": events})

    lines = manifest(summary)
    assert [uri for uri, _ in events[alias].added] == [line["uris"][0] for line in lines]
    assert [extra["sha256"] for _, extra in events[alias].added] == [line["sha256"][0] for line in lines]
    assert events[asset].extra == summary


def test_lineage_of_hooks(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is reported where Airflow collects the lineage of hooks, though no asset event is wanted."""
    collector = HookLineageCollector()
    monkeypatch.setattr("airflow_provider_evolink.execution.announcement.hook_lineage_collector", lambda: collector)

    summary = run(harness, batch(ROWS, tmp_path))

    found = {output.asset.uri for output in collector.collected_assets.outputs}
    assert found == {uri for line in manifest(summary) for uri in line["uris"]}
    assert len(found) == len(ROWS)


def test_lineage_readers_that_cannot_be_found(
    evolink: EmulatorHandle,
    harness: TaskHarness,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A plugin that breaks the search for readers costs one warning, however many files have landed."""

    def fail() -> None:
        raise TypeError("a plugin's fault")

    monkeypatch.setattr("airflow_provider_evolink.execution.announcement.hook_lineage_collector", fail)

    assert_all_landed(run(harness, batch(ROWS, tmp_path)), ROWS, evolink)

    assert caplog.text.count("a plugin's fault") == 1


def test_an_outage_while_waiting(
    evolink: EmulatorHandle, harness: TaskHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no read succeeds for ``unreachable_timeout`` the rows are unfinished, stay paid for, and are resumed."""
    monkeypatch.setenv("AIRFLOW__EVOLINK__UNREACHABLE_TIMEOUT", "0.3")
    operator = batch(ROWS, tmp_path)
    kwargs = start(harness, operator)
    end(harness)
    url = evolink.url
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", evolink.airflow_connection.replace(url, "http://127.0.0.1:9"))

    failure = failure_of(_resume_until_the_end, harness, operator, kwargs)

    assert not failure.permanent
    assert "unfinished" in str(failure)
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", evolink.airflow_connection)
    assert submissions(evolink) == len(ROWS)


def _resume_until_the_end(harness: TaskHarness, operator: EvoLinkBatchOperator, kwargs: dict[str, Any]) -> Any:
    for _ in range(20):
        try:
            return operator.resume_execution("execute_complete", {**kwargs, "event": {}}, harness.context)
        except TaskDeferred as deferred:
            asyncio.run(first_event(deferred.trigger))
            kwargs = json.loads(json.dumps(dict(deferred.kwargs or {})))
    raise AssertionError("waits for ever")
