# SPDX-License-Identifier: Apache-2.0
"""Assets that are named by what they are: of every operator that lands, with what their events say."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import AssetAlias

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution.announcement import shortened_prompt
from airflow_provider_evolink.operators.batch import EvoLinkBatchOperator
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.operators.recover import EvoLinkRecoverOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from tests.batch.batches import batch, rows
from tests.batch.batches import run as run_batch
from tests.operators.landings import LandingHarness, landing, rendered, sent
from tests.operators.submissions import operator

ALIAS = AssetAlias("videos", group="evolink")


@pytest.fixture
def harness() -> LandingHarness:
    """A task instance without an attempt yet."""
    return LandingHarness()


def events(harness: LandingHarness) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the name, the URI and the extra of each asset event."""
    found = harness.outlet_events[ALIAS].asset_alias_events
    return [(event.dest_asset_key.name, event.dest_asset_key.uri, event.extra) for event in found]


def test_a_generation(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """The asset has the given name, and its event says where the file is, what it shows and what it cost."""
    prompt = f"Waves.\n{'A long prompt. ' * 50}"
    record = harness.run(landing(tmp_path, prompt=prompt, outlets=[ALIAS], asset_name="harbor at dawn/{index}"))

    [(name, uri, extra)] = events(harness)
    assert (name, uri) == ("harbor at dawn/0", "evolink://harbor%20at%20dawn/0")
    [entry] = record["landed"]
    assert {field: extra[field] for field in entry} == entry
    assert (extra["model"], extra["credits"]) == (record["model"], record["usage"]["credits_used"])
    assert extra["prompt"].startswith("Waves. A long prompt.")
    assert len(extra["prompt"]) <= 200
    assert extra["prompt"].endswith("...")


def test_no_token_gets_into_an_event(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A link in a prompt loses its query, which may hold a token."""
    prompt = "As in https://x.test/brief.pdf?sig=hidden, and s3://bucket/key#hidden"
    harness.run(landing(tmp_path, prompt=prompt, outlets=[ALIAS]))

    [(_, _, extra)] = events(harness)
    assert extra["prompt"] == "As in https://x.test/brief.pdf and s3://bucket/key"


def test_a_transfer(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """The transfer names assets with the fields of its file names."""
    record = harness.run(operator())
    EvoLinkToObjectStorageOperator(
        task_id="land", generation=record, destination=str(tmp_path), outlets=[ALIAS], asset_name="{kind}/{model}.{ext}"
    ).execute(harness.context)

    [(name, _, _)] = events(harness)
    assert name == f"video/{record['model']}.mp4"


def test_a_batch(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A batch names assets by its rows' keys and fields, and each event says what its row has cost."""
    table = [{**row, "shop": "Köln 1"} for row in rows(2)]
    task = batch(table, tmp_path, outlets=[ALIAS], asset_name="{shop}/{key}/{index}", poll_interval=1)

    run_batch(harness, task)

    found = events(harness)
    assert [name for name, _, _ in found] == ["K%C3%B6ln-1/A0/0", "K%C3%B6ln-1/A1/0"]
    assert [extra["prompt"] for _, _, extra in found] == ["Product 0", "Product 1"]
    assert all(extra["credits"] > 0 and extra["model"] == task.model for _, _, extra in found)


def test_a_batch_whose_row_lacks_a_field(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A row without a field of the name is refused before anything is paid for."""
    with pytest.raises(EvoLinkFailException, match=r"`shop`=None is invalid: must be given, since `asset_name` uses"):
        run_batch(harness, batch(rows(2), tmp_path, asset_name="{shop}/{key}", poll_interval=1))

    assert sent(emulator, "submit") == (0,)


def test_a_recovery(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A recovery names what it finds by its generation, and says what that has cost."""
    record = harness.run(operator())
    EvoLinkRecoverOperator(
        task_id="recover", destination=str(tmp_path), outlets=[ALIAS], asset_name="found/{generation_id}/{index}"
    ).execute(harness.context)

    [(name, _, extra)] = events(harness)
    assert name == f"found/{record['generation_id']}/0"
    assert (extra["model"], extra["credits"]) == (record["model"], record["usage"]["credits_used"])


@pytest.mark.parametrize("name", ["{nonsense}", "self", "", "ü" * 300, 5])
def test_a_rendered_name_is_refused_before_the_payment(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, name: object
) -> None:
    """What a template renders to, and Airflow would refuse after the landing, is refused before anything is sent."""
    with pytest.raises(
        EvoLinkFailException, match=r"^`asset_name`=.* is invalid: must be .*cost nothing\. Airflow does not"
    ):
        harness.run(rendered(destination=str(tmp_path), asset_name=name, outlets=[ALIAS]))

    assert sent(emulator, "total") == (0,)


def test_several_results_need_several_names(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A name for all of a generation's results is refused before they are paid for."""
    task = EvoLinkGenerateOperator(
        task_id="task", model="gpt-image-2", parameters={"prompt": "A cover", "n": 2}, destination=str(tmp_path),
        asset_name="cover", outlets=[ALIAS],
    )  # fmt: skip

    with pytest.raises(EvoLinkFailException, match=r"several results would be named 'cover'"):
        harness.run(task)
    assert sent(emulator, "submit") == (0,)


def test_a_literal_name_is_refused_at_parse_time(tmp_path: Path) -> None:
    """A name that can't work is refused when the DAG is parsed, mapped or not; one with a template is not."""
    folder: Any = str(tmp_path)
    given: Any = {"task_id": "a", "key": "sku", "destination": folder}
    for make in (
        lambda: landing(tmp_path, asset_name="{nonsense}"),
        lambda: EvoLinkBatchOperator(requests=[], asset_name="no key", **given),
        lambda: EvoLinkBatchOperator(requests=[], asset_name="{key} {role}", **given),
        lambda: EvoLinkBatchOperator.partial(task_id="mapped", key="sku", destination=folder, asset_name="{key:>9}"),
        lambda: EvoLinkGenerateOperator.partial(task_id="mapped", asset_name="self"),
        lambda: EvoLinkRecoverOperator(task_id="recover", destination=folder, asset_name="{role}"),
        lambda: EvoLinkToObjectStorageOperator(task_id="a", generation="x", destination=folder, asset_name=" "),
    ):
        with pytest.raises(EvoLinkFailException, match=r"^`asset_name`=.* is invalid: must be "):
            make()
    assert landing(tmp_path, asset_name="{{ ds }}").asset_name == "{{ ds }}"


def test_a_name_may_stand_for_a_long_path(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> None:
    """A path that would make too long a URI for an event lands if its asset has a name of its own."""
    folder = tmp_path / ("视" * 80) / ("频" * 80)
    harness.run(landing(folder, outlets=[ALIAS], asset_name="short"))

    assert [name for name, _, _ in events(harness)] == ["short"]


@pytest.mark.parametrize(
    ("prompt", "shortened"),
    [
        ("A cat\n  by https://x.test/a.png?token=secret#b on\ta mat", "A cat by https://x.test/a.png on a mat"),
        ("s3://b/a.png#x", "s3://b/a.png"),
        ("a" * 201, "a" * 197 + "..."),
        ("a" * 300_000, "a" * 197 + "..."),
        (" \n", None),
        (7, None),
    ],
)
def test_the_prompt_of_an_event(prompt: object, shortened: str | None) -> None:
    """An event has the beginning of the prompt on a line, without tokens of links, and a huge one takes no time."""
    begun = time.process_time()
    assert shortened_prompt(prompt) == shortened
    assert time.process_time() - begun < 2
