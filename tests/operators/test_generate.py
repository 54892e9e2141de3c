# SPDX-License-Identifier: Apache-2.0
"""Any model: those of the catalog, unknown ones, and what may be templated."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.execution_time.comms import SetXCom, _RequestFrame

from airflow_provider_evolink.api.errors import GenerationFailedError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from tests.loopback import ReceivedRequest, Write, http_response, serving
from tests.task_harness import TaskHarness

pytestmark = pytest.mark.usefixtures("quick")

IMAGES = Path(__file__).parent.parent / "data"
LINK = "https://example.com/portrait.jpg"


@pytest.fixture(autouse=True)
def _fast(emulator: EmulatorHandle) -> None:
    emulator.control.set_speed(5000)


def operator(model: str, media_type: Any = None, /, **parameters: Any) -> EvoLinkGenerateOperator:
    """Return a task of any model that polls every 50 ms."""
    return EvoLinkGenerateOperator(
        task_id="task", model=model, parameters=parameters, media_type=media_type, poll_interval=0.05
    )


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the warnings that the task has logged."""
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if "[warning" in line and "outside of the Task Runner" not in line]


@pytest.mark.parametrize(
    ("model", "parameters", "suffixes"),
    [
        ("gemini-omni-flash-text-to-video", {"prompt": "A lighthouse", "duration": 3}, {".mp4"}),
        ("gemini-omni-flash-reference-to-video", {"prompt": "A lighthouse", "image_urls": [LINK] * 2}, {".mp4"}),
        ("gemini-omni-flash-video-edit", {"prompt": "At dusk", "video_urls": ["https://example.com/a.mp4"]}, {".mp4"}),
        ("veo-3.1-fast-generate-preview", {"prompt": "A lighthouse", "duration": 4}, {".mp4"}),
        ("gpt-image-2", {"prompt": "A lighthouse", "n": 2}, {".png", ".jpg"}),
        ("z-image-turbo", {"prompt": "A lighthouse", "size": "1:1"}, {".png", ".jpg"}),
        ("doubao-seed-audio-1-0", {"prompt": "Waves", "format": "wav"}, {".wav"}),
        ("suno-v5-beta", {"prompt": "A shanty"}, {".mp3", ".jpg"}),
    ],
)
def test_models_of_the_catalog(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    capsys: pytest.CaptureFixture[str],
    model: str,
    parameters: dict[str, Any],
    suffixes: set[str],
) -> None:
    """Videos, images and audio: every model goes to its own endpoint, without a warning."""
    record = harness.run(operator(model, **parameters))

    assert (record["model"], record["status"]) == (model, "completed")
    assert len(record["results"]) == parameters.get("n", len(record["results"])) > 0
    assert {Path(link).suffix for link in record["results"]} <= suffixes
    assert warnings(capsys) == []


@pytest.mark.parametrize(
    ("model", "media_type", "suffix"),
    [
        ("future-dream-9", "video", ".mp4"),
        ("future-dream-9", "image", ".png"),
        ("future-dream-9", "audio", ".mp3"),
        ("future-text-to-video-9", None, ".mp4"),
        ("future-text-to-video-9", "image", ".png"),
    ],
)
def test_an_unknown_model(
    emulator: EmulatorHandle,
    harness: TaskHarness,
    capsys: pytest.CaptureFixture[str],
    model: str,
    media_type: str | None,
    suffix: str,
) -> None:
    """An unknown model passes with one warning, to the endpoint that ``media_type`` or its name suggests."""
    record = harness.run(operator(model, media_type, prompt="A lighthouse", mood="calm"))

    assert {Path(link).suffix for link in record["results"]} == {suffix}
    [warning] = warnings(capsys)
    assert model in warning
    assert "catalog" in warning


def test_a_model_of_unknown_media_type(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """If neither the name nor ``media_type`` determines the endpoint, the error requires the latter."""
    with pytest.raises(EvoLinkFailException, match=r"^`media_type`=None is invalid: .*'video', 'image' or 'audio'"):
        harness.run(operator("future-dream-9", prompt="A lighthouse"))
    with pytest.raises(EvoLinkFailException, match=r"^`media_type`='film' is invalid: "):
        harness.run(operator("future-dream-9", "film", prompt="A lighthouse"))
    assert emulator.control.state()["requests"]["total"] == 0


def test_an_unknown_parameter(
    emulator: EmulatorHandle, harness: TaskHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown parameter is sent with one warning, which names it; also a similar one, beside the documented one."""
    given = {"prompt": "A lighthouse", "duration": 3, "durations": 5}
    record = harness.run(operator("gemini-omni-flash-text-to-video", **given))

    assert record["status"] == "completed"
    [warning] = warnings(capsys)
    assert "`durations`" in warning


def test_a_misspelled_parameter(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A misspelled parameter is refused with the right spelling, and nothing is sent."""
    with pytest.raises(EvoLinkFailException, match=r"^`duraton`=5 is invalid: must be named `duration`"):
        harness.run(operator("gemini-omni-flash-text-to-video", prompt="A lighthouse", duraton=5))
    assert emulator.control.state()["requests"]["total"] == 0


@pytest.mark.parametrize(
    ("model", "parameters", "named"),
    [
        ("gpt-image-2", {"prompt": "x", "n": 11}, "`n`=11"),
        ("gpt-image-2", {"prompt": "x", "quality": "best"}, "`quality`='best'"),
        ("gpt-image-2", {"n": 1}, "`prompt`=None"),
        ("doubao-seed-audio-1-0", {"prompt": "x", "pitch_rate": 13}, "`pitch_rate`=13"),
        ("wan2.7-text-to-video", {"prompt": "x", "negative_prompt": "y" * 501}, "`negative_prompt`="),
        ("gemini-omni-flash-reference-to-video", {"prompt": "x", "image_urls": [LINK] * 7}, "`image_urls`="),
        (
            "gemini-omni-flash-reference-to-video",
            {"prompt": "x", "image_urls": ["http://10.0.0.7/a.png"]},
            "`image_urls[0]`=",
        ),
        ("", {"prompt": "x"}, "`model`=''"),
        ("gpt-image-2", {"prompt": "x", "n": math.nan}, "`n`=nan"),
        ("gpt-image-2", {"prompt": "x", "size": {1, 2}}, "`size`="),
        ("gpt-image-2", {"prompt": "x", "model": "z-image-turbo"}, "`parameters.model`='z-image-turbo'"),
    ],
)
def test_out_of_range(
    emulator: EmulatorHandle, harness: TaskHarness, model: str, parameters: dict[str, Any], named: str
) -> None:
    """A parameter that its documentation rules out ends the task, by name, before anything is sent."""
    with pytest.raises(EvoLinkFailException) as caught:
        harness.run(operator(model, **parameters))

    assert str(caught.value).startswith(named)
    assert emulator.control.state()["requests"]["total"] == 0
    assert harness.store.held == {}


@pytest.mark.parametrize("parameters", ["{{ a }}", ["prompt"], None, 5])
def test_parameters_that_are_not_a_mapping(emulator: EmulatorHandle, harness: TaskHarness, parameters: Any) -> None:
    """Parameters that a template or an upstream task produced are checked, too."""
    task = EvoLinkGenerateOperator(task_id="task", model="gpt-image-2", parameters="{{ a }}")  # type: ignore[arg-type]
    task.parameters = parameters

    with pytest.raises(EvoLinkFailException, match=r"^`parameters`="):
        harness.run(task)


def test_a_request_that_is_too_large(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """More than the documented 64 MB is rejected, and the error says what helps."""
    with pytest.raises(EvoLinkFailException, match=r"'64\.1 MB' is invalid: .*at most 64 MB.*link") as caught:
        harness.run(operator("gemini-omni-flash-text-to-video", prompt="x" * 64 * 2**20))

    assert len(str(caught.value)) < 500
    assert emulator.control.state()["requests"]["total"] == 0


def test_an_image_that_is_too_large(emulator: EmulatorHandle, harness: TaskHarness, tmp_path: Path) -> None:
    """An image that fits into no request is rejected without being read to its end."""
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.write((IMAGES / "frame.png").read_bytes())
        file.truncate(20 * 2**30)
    task = EvoLinkImageToVideoOperator(task_id="task", prompt="x", image=ObjectStoragePath(huge.as_uri()))

    with pytest.raises(EvoLinkFailException, match=r"^`image`=.*at most 47 MB .*has 20,480 MB"):
        harness.run(task)
    assert emulator.control.state()["requests"]["total"] == 0


# Templates


def test_nested_templates(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Every string of the parameters is rendered, however deep; other values are left alone."""
    task = EvoLinkGenerateOperator(
        task_id="task",
        model="{{ conf.model }}",
        parameters={
            "prompt": "{{ conf.place }} at dusk",
            "image_urls": ["{{ conf.link }}", "https://example.com/{{ ds }}.jpg"],
            "model_params": {"deep": [{"er": "{{ conf.place }}"}], "bare": 5, "switch": True},
        },
        callback_url="https://example.com/{{ ds }}",
        evolink_conn_id="{{ conf.conn }}",
    )
    conf = {"model": "gpt-image-2", "place": "A harbor", "link": LINK, "conn": "my_evolink"}

    task.render_template_fields({**harness.context, "conf": conf, "ds": "2026-11-23"})

    assert (task.model, task.callback_url, task.evolink_conn_id) == (
        "gpt-image-2",
        "https://example.com/2026-11-23",
        "my_evolink",
    )
    assert task.parameters == {
        "prompt": "A harbor at dusk",
        "image_urls": [LINK, "https://example.com/2026-11-23.jpg"],
        "model_params": {"deep": [{"er": "A harbor"}], "bare": 5, "switch": True},
    }


def test_templates_of_image_to_video(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Every argument of the image-to-video operator may be templated, and the image may be a storage path."""
    task = EvoLinkImageToVideoOperator(
        task_id="task",
        prompt="{{ conf.place }}",
        image=ObjectStoragePath("file:///images/{{ ds }}.png"),
        duration="{{ conf.seconds }}",
        aspect_ratio="{{ conf.ratio }}",
        model="{{ conf.model }}",
        callback_url="https://example.com/{{ ds }}",
    )
    conf = {"place": "A harbor", "seconds": "auto", "ratio": "9:16", "model": "gemini-omni-flash-image-to-video"}

    task.render_template_fields({**harness.context, "conf": conf, "ds": "2026-11-23"})

    assert (task.prompt, task.duration, task.aspect_ratio) == ("A harbor", "auto", "9:16")
    assert str(task.image) == "file:///images/2026-11-23.png"
    assert (task.model, task.callback_url) == ("gemini-omni-flash-image-to-video", "https://example.com/2026-11-23")


# Results of any shape

ODD_DATA: dict[str, Any] = {
    "songs": [{"audio_url": "https://files.evolink.ai/a.mp3", "title": "A shanty"}],
    "voice": "voice-1",
    "number": 1e300,
    "id": 1234567890123456789,
    "huge": 2**70,
    "infinite": math.inf,
    "none": math.nan,
    "half a pair": "\ud800",
    "deep": json.loads("[" * 400 + "]" * 400),
    "__classname__": "builtins.object",
}


@pytest.fixture
def odd_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A service whose results are as odd as JSON, and Python's reading of it, allow."""

    async def respond(request: ReceivedRequest, write: Write) -> None:
        outcome: dict[str, Any] = {"status": "completed", "result_data": ODD_DATA}
        if request.target.endswith("images/generations"):
            outcome = {"status": "pending"}
        elif any(earlier.target.endswith("images/generations") for earlier in server.requests):
            outcome = {
                "status": "failed",
                "error": {"code": "service_error", "message": "cut \ud800 off\n" + "x" * 9000},
            }
        await write(http_response({"id": "task-unified-1-odd", **outcome}))

    with serving(respond) as server:
        connection = {"conn_type": "evolink", "host": server.url, "password": "sk-planted-key-4711"}
        monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(connection))
        yield


def through_airflow(value: Any) -> Any:
    """Pass a value through everything between a task and Airflow's database."""
    xcom = SetXCom(
        key="return_value", value=BaseXCom.serialize_value(value), dag_id="d", run_id="r", task_id="t", map_index=-1
    )
    _RequestFrame(id=1, body=xcom.model_dump()).as_bytes()
    return json.loads(json.dumps(xcom.value, allow_nan=False).encode())


def test_result_data(emulator: EmulatorHandle, harness: TaskHarness, odd_service: None) -> None:
    """Whatever a generation returns besides links, Airflow can store it, and links in it are found."""
    record = harness.run(operator("suno-v5-beta", prompt="A shanty"))

    data = record["result_data"]
    assert through_airflow(record) == record
    assert record["results"] == ["https://files.evolink.ai/a.mp3"]
    assert (data["voice"], data["number"], data["id"]) == ("voice-1", 1e300, 1234567890123456789)
    assert (data["infinite"], data["none"], data["huge"]) == (None, None, str(2**70))
    assert harness.store.get("evolink")["result"] == record


def test_an_odd_failure_message(emulator: EmulatorHandle, harness: TaskHarness, odd_service: None) -> None:
    """EvoLink's message about a failure can be stored and logged, whatever it contains."""
    with pytest.raises(GenerationFailedError, match=r"service_error.*cut \? off x") as caught:
        harness.run(operator("gpt-image-2", prompt="A shanty"))

    stored = json.dumps(harness.store.get("evolink"), ensure_ascii=False).encode()
    assert len(str(caught.value).encode()) < 2000
    assert len(stored) < 3000
