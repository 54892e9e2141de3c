"""What DAGs hand over: rendered templates, mapped tasks, links of earlier tasks, local files; against the emulator."""

from __future__ import annotations

import base64
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
from tests.task_harness import TaskHarness

PNG = Path(__file__).parent.parent / "data" / "frame.png"
LINK = "https://example.com/portrait.jpg"
LINKS_ONLY = sorted(
    name
    for name in catalog.names()
    if "image-to-video" in name and '"format": "http-url"' in json.dumps(getattr(catalog.find(name), "schema", None))
)


def picture_task(**kwargs: Any) -> EvoLinkImageToVideoOperator:
    """An image-to-video task that does not wait long."""
    given = {"prompt": "Waves roll in", "image": LINK, "duration": 3, "poll_interval": 1, **kwargs}
    return EvoLinkImageToVideoOperator(task_id="video", **given)


def task(model: str, **parameters: Any) -> EvoLinkGenerateOperator:
    """A task of any model that does not wait long."""
    return EvoLinkGenerateOperator(task_id="any", model=model, parameters=parameters, poll_interval=1)


@pytest.fixture
def next_harness(harness: TaskHarness) -> TaskHarness:
    """The harness of a later task."""
    later = TaskHarness()
    later.ti.task_id = "later"
    return later


def test_a_chain_from_prompt_to_video(
    emulator: EmulatorHandle, harness: TaskHarness, next_harness: TaskHarness, tmp_path: Path
) -> None:
    """A picture is made, its link becomes a video, and the video is landed, all on this machine."""
    picture = harness.run(task("gpt-image-2", prompt="A lighthouse"))
    video_task = picture_task(image="{{ picture['results'][0] }}", aspect_ratio="auto")
    video_task.render_template_fields({"picture": picture})  # type: ignore[arg-type]
    video = next_harness.run(video_task)
    landing = EvoLinkToObjectStorageOperator(task_id="land", generation=video, destination=tmp_path.as_uri())
    [landed] = TaskHarness().run(landing)

    assert landed["content_type"] == "video/mp4"
    assert [made["status"] for made in emulator.control.state()["generations"]] == ["completed", "completed"]
    assert emulator.control.state()["api_key_leak_count"] == 0


def test_an_uploaded_picture_becomes_a_video(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """The link of an upload is taken by a model that takes links only, which may call back to this machine."""
    link = EvoLinkHook().upload(PNG)
    record = harness.run(
        picture_task(model="wan3.0-image-to-video", image=link, callback_url="http://127.0.0.1:9/called")
    )

    assert record["status"] == "completed"
    assert emulator.control.state()["callbacks"][0]["url"] == "http://127.0.0.1:9/called"


def test_links_of_this_machine_pass_at_every_depth(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Links inside of nested parameters may lead to this machine, as may those of top level."""
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


def test_links_of_this_machine_are_refused_elsewhere(emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real EvoLink can't follow links to this machine, so they are refused before they are paid for."""
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", '{"conn_type": "evolink", "password": "sk-never-sent"}')
    for argument in ({"image": f"{emulator.url}/a.png"}, {"callback_url": "http://127.0.0.1:9/called"}):
        with pytest.raises(EvoLinkFailException, match=r"public .*private, loopback|must be a public https URL"):
            TaskHarness().run(picture_task(**argument))
    with pytest.raises(EvoLinkFailException, match=r"`video_urls\[0\]`=.*public"):
        TaskHarness().run(task("wan2.7-video-edit", video_urls=[f"{emulator.url}/a.mp4"]))


@pytest.mark.parametrize("native", [False, True])
def test_templates_give_what_the_parameters_are(emulator: EmulatorHandle, harness: TaskHarness, native: bool) -> None:
    """Whether a DAG renders numbers as text or text as numbers, the same request is sent."""
    with DAG("templates", render_template_as_native_obj=native):
        rendered = picture_task(prompt="{{ params.title }}", duration="{{ params.seconds }}")
    rendered.render_template_fields({"params": {"title": "1984", "seconds": 4}})  # type: ignore[arg-type]
    plain = picture_task(prompt="1984", duration=4)

    assert harness.run(rendered)["status"] == "completed"
    assert type(rendered.duration) is (int if native else str)
    assert rendered._request().body == plain._request().body
    [made] = emulator.control.state()["generations"]
    assert made["prompt"] == "1984"


def test_a_retry_that_renders_otherwise_is_the_same_request(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A number that comes as text on a later try pays for nothing new."""
    first = harness.run(picture_task(duration=4))
    again = harness.clear(picture_task(duration="4"))

    assert again["generation_id"] == first["generation_id"]
    assert emulator.control.state()["requests"]["submit"] == 1


def mapped(*values: str) -> Sequence[str]:
    """What a mapped task hands over, as Airflow makes it."""
    result: Sequence[str] = _MapResult(values, [lambda value: value])
    assert not isinstance(result, list | tuple)
    return result


def test_what_mapped_tasks_hand_over(emulator: EmulatorHandle, harness: TaskHarness, next_harness: TaskHarness) -> None:
    """Lazy sequences are lists of links, and one with a single picture is that picture."""
    links = mapped(LINK, LINK)
    record = harness.run(task("gemini-omni-flash-reference-to-video", prompt="x", image_urls=links))
    assert record["status"] == "completed"
    assert next_harness.run(picture_task(image=mapped(str(PNG))))["status"] == "completed"
    with pytest.raises(EvoLinkFailException, match=r"^`image`=.*one picture.*, not 2"):
        TaskHarness().run(picture_task(image=links))


@pytest.mark.parametrize("model", LINKS_ONLY)
@pytest.mark.parametrize("form", ["path", "base64", "data URL"])
def test_a_picture_of_ones_own_for_models_that_take_links(
    emulator: EmulatorHandle, harness: TaskHarness, model: str, form: str
) -> None:
    """The refusal says to upload it, in terms of what the user wrote; nothing was read or sent."""
    encoded = base64.b64encode(PNG.read_bytes()).decode()
    image = {"path": "/no/such/picture.png", "base64": encoded, "data URL": f"data:image/png;base64,{encoded}"}[form]
    with pytest.raises(EvoLinkFailException) as refused:
        harness.run(picture_task(model=model, image=image))

    text = str(refused.value)
    assert text.startswith("`image`=")
    assert "takes links only" in text
    assert "EvoLinkHook.upload" in text
    assert "data:" not in text or form == "data URL"
    assert emulator.control.state()["requests"]["total"] == 0
    assert harness.store.held == {}


def test_models_that_take_links_are_many() -> None:
    """The list above is not empty, and holds none of the models that take pictures themselves."""
    assert len(LINKS_ONLY) >= 18
    assert "gemini-omni-flash-image-to-video" not in LINKS_ONLY


@pytest.mark.parametrize("model", ["gemini-omni-flash-text-to-video", "minimax-h3-text-to-video", "suno-v5-beta"])
def test_a_picture_for_models_that_take_none(emulator: EmulatorHandle, harness: TaskHarness, model: str) -> None:
    """A model that is documented to take no picture is refused as that, in terms of what the user wrote."""
    with pytest.raises(EvoLinkFailException, match=r"^`model`=.*takes none") as refused:
        harness.run(picture_task(model=model, image=str(PNG)))
    assert "data:" not in str(refused.value)
    assert emulator.control.state()["requests"]["total"] == 0


def test_a_file_among_the_parameters_of_a_model_that_takes_links(
    emulator: EmulatorHandle, harness: TaskHarness
) -> None:
    """A path among the parameters of any model is refused with the way to upload it."""
    with pytest.raises(EvoLinkFailException, match=r"^`image_urls\[0\]`='/tmp/a.png'.*EvoLinkHook\.upload"):
        harness.run(task("seedance-2.0-image-to-video", prompt="x", image_urls=["/tmp/a.png"]))
    assert emulator.control.state()["requests"]["total"] == 0


def test_a_pathlib_path_is_a_picture(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A path may be given as the object it is."""
    assert harness.run(picture_task(image=PNG))["status"] == "completed"


def test_parameters_that_a_template_made_text(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """Parameters that came as text are refused with the setting that keeps them what they are."""
    whole = EvoLinkGenerateOperator(task_id="any", model="gpt-image-2", parameters="{'prompt': 'x'}")  # type: ignore[arg-type]
    with pytest.raises(EvoLinkFailException, match=r"^`parameters`=.*mapping.*render_template_as_native_obj=True"):
        harness.run(whole)


@pytest.mark.parametrize("media_type", [None, "film"])
def test_a_misspelt_model(emulator: EmulatorHandle, harness: TaskHarness, media_type: Any) -> None:
    """A model whose name nearly is that of another is asked about before anything else."""
    misspelt = picture_task(model="gemini-omni-flash-image2video", media_type=media_type)
    with pytest.raises(EvoLinkFailException, match=r"^`model`=.*did you mean 'gemini-omni-flash-image-to-video'\?"):
        harness.run(misspelt)
    assert emulator.control.state()["requests"]["total"] == 0


@pytest.mark.parametrize("model", ["Gemini-Omni-Flash-Text-To-Video", "gemini-omni-flash-text-to-video\n"])
def test_a_model_in_another_spelling_is_not_sent_unchecked(
    emulator: EmulatorHandle, harness: TaskHarness, model: str
) -> None:
    """What differs from a documented id in case or white space only is that id, and its limits would be passed over."""
    task = EvoLinkGenerateOperator(task_id="task", model=model, parameters={"prompt": "x", "duration": 99})

    with pytest.raises(EvoLinkFailException, match="'gemini-omni-flash-text-to-video'"):
        harness.run(task)
    assert emulator.control.state()["requests"]["submit"] == 0


def test_a_model_of_pictures_makes_no_video(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A model that takes a picture and makes another is no image-to-video model, whatever form the picture has."""
    task = EvoLinkImageToVideoOperator(
        task_id="task", prompt="x", image="https://example.com/a.png", model="gpt-image-2"
    )

    with pytest.raises(EvoLinkFailException, match=r"`model`='gpt-image-2'.*makes videos"):
        harness.run(task)
    assert emulator.control.state()["requests"]["submit"] == 0
