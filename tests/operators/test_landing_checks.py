# SPDX-License-Identifier: Apache-2.0
"""Everything about a landing that can be checked before the payment is, and after it nothing is lost by a mistake."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import AssetAlias

from airflow_provider_evolink.api.errors import (
    LandingError,
    LandingInputError,
    StaleRequestError,
    SubmissionUnknownError,
)
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from tests.operators.landings import LandingHarness, check_landed, files, rendered, sent
from tests.operators.submissions import DyingStore, WorkerDied, accepted, operator

NOT_THERE = "s3://not_there@videos/x"


@pytest.fixture
def harness() -> LandingHarness:
    """A task instance without an attempt yet."""
    return LandingHarness()


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"destination": "videos"}, "destination"),
        ({"destination": "None"}, "destination"),
        ({"destination": "s3:///x"}, "destination"),
        ({"filename_pattern": "{nonsense}"}, "filename_pattern"),
        ({"filename_pattern": "../{index}.{ext}"}, "filename_pattern"),
        ({"filename_pattern": "a" * 251 + ".{ext}"}, "filename_pattern"),
        ({"on_existing": "overwrite"}, "on_existing"),
        ({"wait_for_completion": False}, "wait_for_completion"),
    ],
)
def test_a_literal_is_refused_when_the_dag_is_parsed(tmp_path: Path, arguments: dict[str, Any], parameter: str) -> None:
    """A literal that can't work is refused when the DAG is parsed, and the error says what is allowed."""
    with pytest.raises(EvoLinkFailException, match=f"^`{parameter}`=.* is invalid: must be "):
        operator(**{"destination": str(tmp_path), **arguments})


@pytest.mark.parametrize("arguments", [{"destination": "videos"}, {"filename_pattern": "{nonsense}"}])
def test_a_literal_of_a_mapped_task_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    """The literals that all instances of a mapped task share are checked when the DAG is parsed, too."""
    with pytest.raises(EvoLinkFailException, match=r"^`\w+`=.* is invalid: must be "):
        EvoLinkGenerateOperator.partial(task_id="mapped", model="gpt-image-2", **arguments)


def test_a_task_without_a_destination_need_not_wait(emulator: EmulatorHandle, harness: LandingHarness) -> None:
    """Without a destination, a task may end at the submission, and a pattern alone changes nothing."""
    record = harness.run(operator(wait_for_completion=False, filename_pattern="{index}.{ext}"))

    assert record["status"] == "pending"


ALIAS = {"outlets": [AssetAlias("landed-videos")]}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "relative": ({"destination": "videos"}, "destination"),
    "no value": ({"destination": "None"}, "destination"),
    "unknown scheme": ({"destination": "nowhere://bucket"}, "destination"),
    "no text": ({"destination": 5}, "destination"),
    "credentials": ({"destination": "s3://AKIA:secret@bucket/x"}, "destination"),
    "unknown field": ({"filename_pattern": "{nonsense}"}, "filename_pattern"),
    "no pattern": ({"filename_pattern": None}, "filename_pattern"),
    "leads out": ({"filename_pattern": "../{index}.{ext}"}, "filename_pattern"),
    "unknown choice": ({"on_existing": "overwrite"}, "on_existing"),
    "too long for an event": ({"destination": "/videos/" + "视" * 170, **ALIAS}, "destination"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_templates_render_is_refused_before_the_payment(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, case: str
) -> None:
    """A rendered value that can't work ends the task before anything is sent or recorded, and the error says so."""
    arguments, parameter = REFUSED[case]

    with pytest.raises(EvoLinkFailException) as caught:
        harness.run(rendered(**{"destination": str(tmp_path), **arguments}))

    text = str(caught.value)
    assert re.match(rf"`{parameter}`=.+ is invalid: must be ", text)
    assert "This attempt sent nothing and cost nothing. Airflow does not retry this task" in text
    assert "secret" not in text
    assert sent(emulator, "total") == (0,)
    assert harness.store.held == {}


def test_a_destination_that_another_task_left_empty(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path
) -> None:
    """It is not taken for a task without a destination, whose results nothing would land."""
    task = operator(destination=str(tmp_path))
    task.destination = None

    with pytest.raises(EvoLinkFailException, match=r"^`destination`=None is invalid: must be a folder"):
        harness.run(task)
    assert sent(emulator, "total") == (0,)


@pytest.mark.parametrize("count", [2, "2"])
def test_several_results_under_one_name_are_refused_before_the_payment(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, count: Any
) -> None:
    """A request for several results needs a pattern that tells them apart, which is checked before the payment."""
    task = EvoLinkGenerateOperator(
        task_id="task",
        model="gpt-image-2",
        parameters={"prompt": "A lighthouse", "n": count},
        destination=str(tmp_path),
        filename_pattern="{generation_id}.{ext}",
    )

    with pytest.raises(EvoLinkFailException, match=r"^`filename_pattern`=.*\{index\}.*This attempt sent nothing"):
        harness.run(task)
    assert sent(emulator, "total") == (0,)


@pytest.mark.parametrize("count", [0, -1, 1000, "many", None, [], 2.5])
def test_a_number_of_results_that_is_none(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, count: Any
) -> None:
    """Whatever an unknown model takes as ``n``, it does not keep the task from landing the results that there are."""
    task = EvoLinkGenerateOperator(
        task_id="task",
        model="future-image-9",
        media_type="image",
        parameters={"prompt": "A lighthouse", "n": count},
        poll_interval=1,
        destination=str(tmp_path),
    )

    check_landed(harness.run(task), tmp_path)


def test_a_folder_that_can_not_be_written_to_costs_nothing(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path
) -> None:
    """A destination below a file is refused before the payment; once that is fixed, a retry pays and lands."""
    blocked = tmp_path / "videos"
    blocked.write_text("no folder")
    task = operator(destination=str(blocked))
    with pytest.raises(LandingError, match=r"can't be written to: Not a directory\. Nothing was sent to EvoLink now"):
        harness.run(task)
    assert not accepted(emulator)
    blocked.unlink()

    assert len(harness.retry(task)["landed"]) == len(accepted(emulator)) == 1


def test_a_storage_that_can_not_be_opened_now(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path
) -> None:
    """A storage connection that is not found may be there later: the task is retried, and nothing was sent."""
    with pytest.raises(LandingError, match=r"not_there.*Nothing was sent to EvoLink now.*cost nothing.*retry"):
        harness.run(rendered(destination=NOT_THERE))
    assert sent(emulator, "total") == (0,)

    check_landed(harness.retry(rendered(destination=str(tmp_path))), tmp_path)


# After the payment


@pytest.fixture
def paid(emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path) -> LandingHarness:
    """A task instance that has paid, and whose worker died while it waited."""
    harness.store = DyingStore(3, after=False)
    with pytest.raises(WorkerDied):
        harness.run(operator(destination=str(tmp_path)))
    assert harness.record["phase"] == "submitted"
    return harness


def test_a_bad_destination_after_the_payment(emulator: EmulatorHandle, paid: LandingHarness, tmp_path: Path) -> None:
    """A retry with a bad destination says what was paid for and loses nothing: a clear with a good one lands it."""
    [generation] = accepted(emulator)
    with pytest.raises(EvoLinkFailException, match=r"^`destination`='videos' is invalid: must be") as caught:
        paid.retry(rendered(destination="videos"))

    assert isinstance(caught.value.error, StaleRequestError)
    assert caught.value.error.generation_id == generation["id"]
    for fact in (generation["id"], "Nothing was sent now", "paid for", "EvoLinkGenerationSensor("):
        assert fact in str(caught.value)
    assert "charged" not in str(caught.value)
    check_landed(paid.clear(operator(destination=str(tmp_path))), tmp_path)
    assert sent(emulator, "submit") == (1,)


def test_a_storage_that_is_gone_after_the_payment(
    emulator: EmulatorHandle, paid: LandingHarness, tmp_path: Path
) -> None:
    """A storage connection that a retry does not find is reported with what was paid for, and retried."""
    [generation] = accepted(emulator)
    with pytest.raises(LandingError, match=r"not_there.*Nothing was sent to EvoLink now") as caught:
        paid.retry(rendered(destination=NOT_THERE))

    assert caught.value.generation_id == generation["id"]
    assert f"{generation['id']} stays paid for ({generation['reserved']:g} credits reserved)" in str(caught.value)
    check_landed(paid.retry(operator(destination=str(tmp_path))), tmp_path)
    assert sent(emulator, "submit") == (1,)


@pytest.mark.usefixtures("no_submission_pauses")
def test_a_storage_that_is_gone_while_a_submission_is_in_doubt(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path
) -> None:
    """If it is unknown whether an earlier try has paid, the error names the idempotency key; a retry resolves it."""
    emulator.control.inject("lost_response", on="submit", times=2)
    with pytest.raises(SubmissionUnknownError):
        harness.run(operator(destination=str(tmp_path)))
    [generation] = accepted(emulator)

    with pytest.raises(LandingError, match=f"Nothing was sent .* now.*{generation['idempotency_key']}.*A retry"):
        harness.retry(rendered(destination=NOT_THERE))
    with pytest.raises(EvoLinkFailException, match=f"Nothing was sent now.*{generation['idempotency_key']}"):
        harness.retry(rendered(destination="videos"))

    check_landed(harness.retry(operator(destination=str(tmp_path))), tmp_path)
    assert len(accepted(emulator)) == 1


@pytest.mark.parametrize(
    ("broken", "is_permanent"),
    [({"destination": "videos"}, True), ({"filename_pattern": "{nope}"}, True), ({"destination": NOT_THERE}, False)],
)
def test_arguments_that_break_during_the_wait(
    emulator: EmulatorHandle, harness: LandingHarness, tmp_path: Path, broken: dict[str, Any], is_permanent: bool
) -> None:
    """If the DAG changes during the wait, the error says that the generation is paid for, and a clear lands it."""
    task = operator(destination=str(tmp_path))
    resumed = rendered(**{"destination": str(tmp_path), **broken})
    task.resume_execution = resumed.resume_execution  # type: ignore[method-assign]

    with pytest.raises(EvoLinkFailException if is_permanent else LandingError) as caught:
        harness.run(task)

    [generation] = accepted(emulator)
    text = str(caught.value)
    assert text.startswith(f"Generation {generation['id']} is completed and paid for, but its results can't be landed.")
    assert "generates nothing" in text
    if isinstance(caught.value, EvoLinkFailException):
        assert isinstance(caught.value.error, LandingInputError)
        assert caught.value.error.generation_id == generation["id"]
    assert files(tmp_path) == []
    check_landed(harness.clear(operator(destination=str(tmp_path))), tmp_path)
    assert sent(emulator, "submit") == (1,)
