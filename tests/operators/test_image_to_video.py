# SPDX-License-Identifier: Apache-2.0
"""The image-to-video operator, against the emulator."""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from tests.task_harness import TaskHarness

IMAGES = Path(__file__).parent.parent / "data"
PNG = IMAGES / "frame.png"


def operator(**kwargs: Any) -> EvoLinkImageToVideoOperator:
    """Return an image-to-video task that polls every second."""
    arguments = {"prompt": "The leaves sway", "image": str(PNG), "duration": 3, "poll_interval": 1, **kwargs}
    return EvoLinkImageToVideoOperator(task_id="task", **arguments)


@pytest.mark.parametrize("deferrable", [True, False])
def test_from_image_to_record(emulator: EmulatorHandle, harness: TaskHarness, deferrable: bool) -> None:
    """Deferred or not, the task returns one small record with all documented fields."""
    record = harness.run(operator(deferrable=deferrable))

    [generation] = emulator.control.state()["generations"]
    assert len(harness.deferrals) == deferrable
    assert record["generation_id"] == generation["id"] == harness.ti.xcoms["generation_id"]
    assert (record["model"], record["status"]) == ("gemini-omni-flash-image-to-video", "completed")
    assert record["results"] == generation["results"] == [harness.ti.xcoms["result_link"]]
    assert record["usage"] == {
        "credits_reserved": generation["reserved"],
        "credits_used": generation["charged"],
        "billing_rule": "per_token",
    }
    assert (record["reattached"], record["try_number"]) == (False, 1)
    submitted, finished, expires = (
        datetime.fromisoformat(record[name]) for name in ("submitted_at", "finished_at", "expires_at")
    )
    assert submitted <= finished < expires
    assert timedelta(hours=24) <= expires - submitted < timedelta(hours=24, minutes=2)
    assert set(record) == {
        "generation_id", "model", "status", "results", "result_data", "expires_at", "submitted_at", "finished_at",
        "usage", "reattached", "try_number",
    }  # fmt: skip


def test_one_submission_and_few_reads_are_sent(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """One submission under one idempotency key, few reads, and nothing else."""
    harness.run(operator(prompt="让树叶在微风中轻轻摇曳"))

    state = emulator.control.state()
    assert state["requests"]["submit"] == 1
    assert state["requests"]["total"] == state["requests"]["submit"] + state["requests"]["read"]
    [generation] = state["generations"]
    assert generation["prompt"] == "让树叶在微风中轻轻摇曳"
    assert generation["idempotency_key"].startswith("airflow-")


def test_defaults_are_the_documented_ones(emulator: EmulatorHandle) -> None:
    """The defaults are ten seconds and 16:9."""
    task = EvoLinkImageToVideoOperator(task_id="task", prompt="x", image=str(PNG))

    assert (task.duration, task.aspect_ratio, task.model) == (10, "16:9", "gemini-omni-flash-image-to-video")
    assert (task.deferrable, task.wait_for_completion, task.poll_interval) == (True, True, None)


FORMS = {
    "link": "https://example.com/portrait.jpg",
    "data URL": "data:image/png;base64," + base64.b64encode(PNG.read_bytes()).decode(),
    "bare base64": base64.b64encode((IMAGES / "frame.jpg").read_bytes()).decode(),
    "local path": str(IMAGES / "frame.webp"),
    "object storage": (IMAGES / "frame.jpg").as_uri(),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_image(emulator: EmulatorHandle, harness: TaskHarness, form: str) -> None:
    """Every documented form of image is accepted and becomes a video."""
    record = harness.run(operator(image=FORMS[form]))

    assert record["status"] == "completed"


def test_an_object_storage_path_object(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """An ``ObjectStoragePath`` is accepted as such."""
    from airflow.sdk import ObjectStoragePath

    assert harness.run(operator(image=ObjectStoragePath(PNG.as_uri())))["status"] == "completed"


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("duration", 2, "3 to 10"),
        ("duration", 11, "3 to 10"),
        ("duration", 3.5, "3 to 10"),
        ("duration", "11", "3 to 10"),
        ("duration", "None", "render_template_as_native_obj"),
        ("prompt", ["a", "list"], "render_template_as_native_obj"),
        ("duration", True, "3 to 10"),
        ("aspect_ratio", "1:1", "16:9"),
        ("prompt", "  ", "blank"),
        ("image", str(IMAGES / "frame.gif"), "png, jpeg or webp"),
        ("image", "/no/such/image.png", "png, jpeg or webp"),
        ("image", "http://10.0.0.1/picture.png", "public"),
        ("image", "http://2130706433/picture.png", "public"),
        ("image", None, "a single image"),
        ("image", b"GIF89a", "a single image"),
        ("image", {"results": []}, "the record of a generation"),
        ("last_image", str(PNG), "takes no last image"),
        ("image", 5, "a single image"),
        ("image", [["a.png"]], "a single image"),
        ("image", ["a.png", "b.png"], "not 2"),
        ("image", [], "not 0"),
        ("callback_url", "http://example.com/hook", "https"),
        ("callback_url", "https://10.0.0.7/hook", "public"),
        ("callback_url", "https://2130706433/hook", "public"),
        ("callback_url", "https://example.com/" + "x" * 2048, "2048"),
        ("poll_interval", 0.5, "at least 1"),
        ("timeout", -1, "more than 0"),
        ("on_clear", "rebuy", "'reuse' or 'resubmit'"),
    ],
)
def test_invalid_input_costs_nothing(
    emulator: EmulatorHandle, harness: TaskHarness, argument: str, value: Any, allowed: str
) -> None:
    """An invalid value ends the task at once, with its name and what is allowed; nothing is sent or recorded."""
    with pytest.raises(EvoLinkFailException) as caught:
        harness.run(operator(**{argument: value}))

    text = str(caught.value)
    assert re.match(rf"`{argument}`=.+ is invalid: must be ", text, re.DOTALL)
    assert allowed in text
    assert "This attempt sent nothing and cost nothing." in text
    assert text.endswith("Airflow does not retry this task: fix that, then clear it.")
    assert text.count("retry") == 1
    assert caught.value.error.permanent
    assert emulator.control.state()["requests"]["total"] == 0
    assert harness.store.held == {}


def test_callback_url_is_sent_along(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """EvoLink gets the URL, and posts the result to it."""
    harness.run(operator(callback_url="https://example.com/webhooks/video"))

    [callback] = emulator.control.state()["callbacks"]
    assert callback["url"] == "https://example.com/webhooks/video"
    assert callback["body"]["status"] == "completed"


def test_without_waiting_the_task_ends_at_the_submission(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Without waiting, the task ends as soon as EvoLink has accepted, with what a sensor needs."""
    record = harness.run(operator(wait_for_completion=False))

    assert harness.deferrals == []
    assert (record["status"], record["results"], record["finished_at"]) == ("pending", [], None)
    assert record["usage"]["credits_reserved"] == emulator.control.state()["generations"][0]["reserved"]
    assert harness.ti.xcoms["generation_id"] == record["generation_id"]
