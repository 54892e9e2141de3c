# SPDX-License-Identifier: Apache-2.0
"""What DAGs pass: rendered templates, mapped tasks, links of earlier tasks, local files; against the emulator."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions.xcom_arg import _MapResult

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator, EvoLinkImageToVideoOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from tests.api.documented_models import model_of
from tests.media.files import png
from tests.task_harness import TaskHarness

PNG = Path(__file__).parent.parent / "data" / "frame.png"
LINK = "https://example.com/portrait.jpg"
LINKS_ONLY = sorted(
    name
    for name in catalog.names()
    if name.endswith("image-to-video") and '"format": "image-link"' in json.dumps(model_of(name).schema)
)


def image_task(**kwargs: Any) -> EvoLinkImageToVideoOperator:
    """Return an image-to-video task that polls every second."""
    arguments = {"prompt": "Waves roll in", "image": LINK, "duration": 3, "poll_interval": 1, **kwargs}
    return EvoLinkImageToVideoOperator(task_id="video", **arguments)


def task(model: str, **parameters: Any) -> EvoLinkGenerateOperator:
    """Return a task of any model that polls every second."""
    return EvoLinkGenerateOperator(task_id="any", model=model, parameters=parameters, poll_interval=1)


@pytest.fixture
def next_harness(harness: TaskHarness) -> TaskHarness:
    """A later task of the same run."""
    next_task = TaskHarness()
    next_task.ti.task_id = "later"
    return next_task


def test_a_chain_from_prompt_to_video(
    emulator: EmulatorHandle, harness: TaskHarness, next_harness: TaskHarness, tmp_path: Path
) -> None:
    """An image is generated, its link becomes a video, and the video is landed, all on this machine."""
    image = harness.run(task("gpt-image-2", prompt="A lighthouse"))
    video_task = image_task(image="{{ image['results'][0] }}", aspect_ratio="auto")
    video_task.render_template_fields({"image": image})  # type: ignore[arg-type]
    video = next_harness.run(video_task)
    landing = EvoLinkToObjectStorageOperator(task_id="land", generation=video, destination=tmp_path.as_uri())
    [landed] = TaskHarness().run(landing)

    assert landed["content_type"] == "video/mp4"
    assert [generation["status"] for generation in emulator.control.state()["generations"]] == [
        "completed",
        "completed",
    ]
    assert emulator.control.state()["api_key_leak_count"] == 0


def test_an_uploaded_image_becomes_a_video(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A model that takes links only accepts the link of an upload, and a callback URL on this machine."""
    link = EvoLinkHook().upload(PNG).link
    record = harness.run(
        image_task(model="wan3.0-image-to-video", image=link, callback_url="http://127.0.0.1:9/called")
    )

    assert record["status"] == "completed"
    assert emulator.control.state()["callbacks"][0]["url"] == "http://127.0.0.1:9/called"


def test_links_to_this_machine_pass_at_every_depth(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Links to this machine are accepted in nested parameters as at the top level."""
    link = f"{emulator.url}/media/uploads/images/a.png"
    element = {
        "element_name": "me",
        "element_description": "a face",
        "reference_type": "image_refer",
        "element_image_list": {"frontal_image": link, "refer_images": [{"image_url": link}]},
    }
    assert harness.run(task("wan2.7-video-edit", video_urls=[link]))["status"] == "completed"
    prepared = EvoLinkHook().prepare("kling-custom-element", {"model_params": element})
    assert json.loads(prepared.body)["model_params"] == element


def test_links_to_this_machine_are_rejected_elsewhere(
    emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real EvoLink can't follow links to this machine, so they are rejected before they are paid for."""
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", '{"conn_type": "evolink", "password": "sk-never-sent"}')
    for argument in ({"image": f"{emulator.url}/a.png"}, {"callback_url": "http://127.0.0.1:9/called"}):
        with pytest.raises(EvoLinkFailException, match=r"must be a public "):
            TaskHarness().run(image_task(**argument))
    with pytest.raises(EvoLinkFailException, match=r"^`video_urls\[0\]`=.*public"):
        TaskHarness().run(task("wan2.7-video-edit", video_urls=[f"{emulator.url}/a.mp4"]))


@pytest.mark.parametrize("native", [False, True])
def test_rendered_values_are_coerced(emulator: EmulatorHandle, harness: TaskHarness, native: bool) -> None:
    """Return whether a DAG renders numbers as text or text as numbers, the same request is sent."""
    with DAG("templates", render_template_as_native_obj=native):
        rendered = image_task(prompt="{{ params.title }}", duration="{{ params.seconds }}")
    rendered.render_template_fields({"params": {"title": "1984", "seconds": 4}})  # type: ignore[arg-type]
    plain = image_task(prompt="1984", duration=4)

    assert harness.run(rendered)["status"] == "completed"
    assert type(rendered.duration) is (int if native else str)
    assert rendered._request(EvoLinkHook()).body == plain._request(EvoLinkHook()).body
    [generation] = emulator.control.state()["generations"]
    assert generation["prompt"] == "1984"


def test_a_retry_that_renders_differently_is_the_same_request(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A number that is rendered as text on a later try pays for nothing new."""
    first = harness.run(image_task(duration=4))
    again = harness.clear(image_task(duration="4"))

    assert again["generation_id"] == first["generation_id"]
    assert emulator.control.state()["requests"]["submit"] == 1


def mapped(*values: str) -> Sequence[str]:
    """Return what a mapped task passes, as Airflow makes it."""
    result: Sequence[str] = _MapResult(values, [lambda value: value])
    assert not isinstance(result, list | tuple)
    return result


def test_arguments_from_mapped_tasks(emulator: EmulatorHandle, harness: TaskHarness, next_harness: TaskHarness) -> None:
    """Lazy sequences count as lists of links, and one that contains a single image as that image."""
    links = mapped(LINK, LINK)
    record = harness.run(task("gemini-omni-flash-reference-to-video", prompt="x", image_urls=links))
    assert record["status"] == "completed"
    assert next_harness.run(image_task(image=mapped(str(PNG))))["status"] == "completed"
    with pytest.raises(EvoLinkFailException, match=r"^`image`=.*a single image.*, not 2"):
        TaskHarness().run(image_task(image=links))


@pytest.mark.parametrize("model", LINKS_ONLY)
@pytest.mark.parametrize("form", ["path", "object", "base64", "data URL"])
def test_a_local_image_for_models_that_take_links(
    emulator: EmulatorHandle, tmp_path: Path, model: str, form: str
) -> None:
    """An image that a model takes as a link only gets one, and the request names it by its content."""
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(1024, 1024))
    encoded = base64.b64encode(picture.read_bytes()).decode()
    forms = {"path": str(picture), "object": picture, "base64": encoded, "data URL": f"data:image/png;base64,{encoded}"}
    request = image_task(model=model, image=forms[form], duration=None)._request(EvoLinkHook())
    [pending] = request.pending_media
    assert pending.identity == f"sha256:{hashlib.sha256(picture.read_bytes()).hexdigest()}"
    assert pending.placeholder in request.body.decode()
    assert (pending.content_type, pending.size, pending.link) == ("image/png", picture.stat().st_size, None)
    assert pending.open is not None
    with pending.open() as content:
        assert content.read() == picture.read_bytes()
    assert json.loads(request.with_links({pending.identity: LINK}))[pending.parameter.partition("[")[0]] in (
        LINK,
        [LINK],
    )


@pytest.mark.parametrize("model", LINKS_ONLY)
def test_no_upload_where_it_is_not_wanted(emulator: EmulatorHandle, harness: TaskHarness, model: str) -> None:
    """The error names the user's argument, what the model takes and what to do; nothing was read or sent."""
    with pytest.raises(EvoLinkFailException) as caught:
        harness.run(image_task(model=model, image="/no/such/image.png", duration=None, upload="never"))

    text = str(caught.value)
    assert text.startswith("`image`='/no/such/image.png'")
    assert "EvoLinkHook.upload" in text
    assert "data:" not in text
    assert emulator.control.state()["requests"]["total"] == 0
    assert harness.store.held == {}


def test_models_that_take_links_are_many() -> None:
    """The list above is not empty, and contains no model that takes images themselves."""
    assert len(LINKS_ONLY) >= 18
    assert "kling-v3-image-to-video" in LINKS_ONLY
    assert "gemini-omni-flash-image-to-video" not in LINKS_ONLY


@pytest.mark.parametrize(
    ("model", "needed"),
    [
        ("gemini-omni-flash-text-to-video", "starts from an image"),
        ("minimax-h3-text-to-video", "starts from an image"),
        ("suno-v5-beta", "makes videos"),
    ],
)
def test_an_image_for_models_that_take_none(
    emulator: EmulatorHandle, harness: TaskHarness, model: str, needed: str
) -> None:
    """A model that is documented to make no video from an image is refused, with the names of some that do."""
    with pytest.raises(EvoLinkFailException, match=rf"^`model`=.* {needed}.*image-to-video'") as caught:
        harness.run(image_task(model=model, image=str(PNG)))
    assert "data:" not in str(caught.value)
    assert emulator.control.state()["requests"]["total"] == 0


def test_a_missing_file_among_the_parameters(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A path among the parameters of any model that can't be read is refused by the name of its parameter."""
    with pytest.raises(EvoLinkFailException, match=r"^`image_urls\[0\]`='/data/a.png'.*can't be read"):
        harness.run(task("seedance-2.0-image-to-video", prompt="x", image_urls=["/data/a.png"]))
    assert emulator.control.state()["requests"]["total"] == 0


FIRST_AND_LAST = {
    "gemini-omni-1.1-flash-image-to-video": {"image_urls": ["{image}", "{last_image}"]},
    "kling-v3-image-to-video": {"image_start": "{image}", "image_end": "{last_image}"},
    "kling-o3-image-to-video": {"image_start": "{image}", "image_end": "{last_image}"},
    "seedance-2.5-image-to-video": {"image_urls": ["{image}", "{last_image}"]},
    "veo3.1-fast-beta": {"image_urls": ["{image}", "{last_image}"], "generation_type": "FIRST&LAST"},
    "brand-new-image-to-video": {"image_urls": ["{image}", "{last_image}"]},
}


@pytest.mark.parametrize("model", FIRST_AND_LAST)
def test_the_first_and_the_last_image(emulator: EmulatorHandle, model: str) -> None:
    """Both images go where their model has them, and nothing is sent that the user did not write."""
    images = {"image": f"{LINK}?first", "last_image": f"{LINK}?last"}
    request = image_task(model=model, duration=None, **images)._request(EvoLinkHook())
    expected = json.dumps(FIRST_AND_LAST[model])
    for name, link in images.items():
        expected = expected.replace(f"{{{name}}}", link)
    assert json.loads(request.body) == {"model": model, "prompt": "Waves roll in", **json.loads(expected)}


@pytest.mark.parametrize("model", ["kling-v3-turbo-image-to-video", "seedance-2.0-reference-to-video"])
def test_a_last_image_for_models_that_take_none(emulator: EmulatorHandle, harness: TaskHarness, model: str) -> None:
    """A last image that would be a reference, or be ignored, is refused with the names of models that take one."""
    with pytest.raises(EvoLinkFailException, match=r"^`last_image`=.*takes no last image.*image-to-video'"):
        harness.run(image_task(model=model, last_image=LINK, duration=None))


def test_a_pathlib_path_is_an_image(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A ``pathlib.Path`` is accepted as such."""
    assert harness.run(image_task(image=PNG))["status"] == "completed"


def test_parameters_that_a_template_rendered_as_text(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Parameters that arrive as text are rejected with the setting that preserves their type."""
    rendered = EvoLinkGenerateOperator(task_id="any", model="gpt-image-2", parameters="{{ parameters }}")  # type: ignore[arg-type]
    rendered.render_template_fields({"parameters": {"prompt": "x"}})  # type: ignore[arg-type]
    with pytest.raises(EvoLinkFailException, match=r"^`parameters`=.*mapping.*render_template_as_native_obj=True"):
        harness.run(rendered)


@pytest.mark.parametrize("media_type", [None, "film"])
def test_a_misspelled_model(emulator: EmulatorHandle, harness: TaskHarness, media_type: Any) -> None:
    """The error of a model that almost has the name of another suggests that one."""
    misspelled = image_task(model="gemini-omni-flash-image2video")
    misspelled.media_type = media_type
    with pytest.raises(EvoLinkFailException, match=r"^`model`=.*'gemini-omni-flash-image-to-video'"):
        harness.run(misspelled)
    assert emulator.control.state()["requests"]["total"] == 0


@pytest.mark.parametrize("model", ["Gemini-Omni-Flash-Text-To-Video", "gemini-omni-flash-text-to-video\n"])
def test_a_model_in_another_spelling_is_not_sent_unchecked(
    emulator: EmulatorHandle, harness: TaskHarness, model: str
) -> None:
    """An id that differs from a documented one in case or white space only would bypass that model's limits."""
    task = EvoLinkGenerateOperator(task_id="task", model=model, parameters={"prompt": "x", "duration": 99})

    with pytest.raises(EvoLinkFailException, match="'gemini-omni-flash-text-to-video'"):
        harness.run(task)
    assert emulator.control.state()["requests"]["submit"] == 0


def test_an_image_model_makes_no_video(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A model that makes images from images is not an image-to-video model, whatever form the image has."""
    task = EvoLinkImageToVideoOperator(
        task_id="task", prompt="x", image="https://example.com/a.png", model="gpt-image-2"
    )

    with pytest.raises(EvoLinkFailException, match=r"^`model`='gpt-image-2'.*makes videos"):
        harness.run(task)
    assert emulator.control.state()["requests"]["submit"] == 0
