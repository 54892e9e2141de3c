# SPDX-License-Identifier: Apache-2.0
"""What of a row is sent: its model's parameters, and nothing else."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import InvalidInputError, UnreadableInputError
from airflow_provider_evolink.batch.rows import Row
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from airflow_provider_evolink.operators.row_requests import RowRequests
from tests.media import files

OMNI = "gemini-omni-flash-image-to-video"
TEXT_TO_VIDEO = "gemini-omni-flash-text-to-video"
LINK = "https://example.com/shoe.jpg"
PNG = Path(__file__).parent.parent / "data" / "frame.png"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> EvoLinkHook:
    """A hook whose connection is to EvoLink itself; nothing is sent."""
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps({"conn_type": "evolink", "password": "sk-test-key"}))
    return EvoLinkHook()


def row(**fields: Any) -> Row:
    """Return a row with these fields."""
    return Row(1, "A1", {"sku": "A1", **fields})


def body(requests: RowRequests, **fields: Any) -> dict[str, Any]:
    """Return what is sent for a row, without the model."""
    sent: dict[str, Any] = json.loads(requests.prepare(row(**fields)).body)
    del sent["model"]
    return sent


def test_parameters_are_sent_and_other_fields_are_not(hook: EvoLinkHook) -> None:
    """Of a row's fields those are sent that the model documents, over the parameters of all rows."""
    requests = RowRequests(hook, OMNI, {"aspect_ratio": "9:16", "duration": 3}, name_fields={"sku"})
    fields = {"prompt": "x", "image_urls": [LINK], "duration": 8, "title": "Shoe", "price": 3.5, "quantity": 2}
    assert body(requests, **fields) == {
        "prompt": "x",
        "image_urls": [LINK],
        "duration": 8,
        "aspect_ratio": "9:16",
    }
    assert requests.unsent == ["price", "quantity", "title"]


def test_text_of_csv_becomes_values(hook: EvoLinkHook) -> None:
    """Text becomes numbers, booleans, lists and objects where the model's parameters are."""
    requests = RowRequests(hook, "MiniMax-Hailuo-02")
    sent = body(requests, prompt="12", duration="6", image_urls=LINK, model_params='{"fast_pretreatment": "true"}')
    assert sent == {
        "prompt": "12",
        "duration": 6,
        "image_urls": [LINK],
        "model_params": {"fast_pretreatment": True},
    }
    assert body(requests, prompt="x", image_urls=f' ["{LINK}", "{LINK}"]')["image_urls"] == [LINK, LINK]


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"image_urls": "[broken"}, "image_urls"),
        ({"model_params": "{broken"}, "model_params"),
        ({"model_params": "text"}, "model_params"),
        ({"parameters": "{broken"}, "parameters"),
        ({"parameters": "text"}, "parameters"),
        ({"parameters": [1]}, "parameters"),
        ({"duration": "99"}, "duration"),
        ({"duration": "long"}, "duration"),
        ({"prompt": None, "model": 5}, "model"),
        ({"model": " "}, "model"),
        ({"model": ["veo"]}, "model"),
        ({"model": "no-idea"}, "media_type"),
        ({"callback_url": "http://localhost/"}, "callback_url"),
        ({"image": 5}, "image"),
        ({"image": LINK, "image_urls": [LINK]}, "image"),
        ({"last_image": LINK}, "last_image"),
        ({"image": LINK, "last_image": LINK, "model": OMNI}, "last_image"),
    ],
)
def test_invalid_fields(hook: EvoLinkHook, fields: dict[str, Any], parameter: str) -> None:
    """A value that EvoLink would reject is refused by the field's name."""
    given = {"prompt": "x", **fields}
    with pytest.raises(InvalidInputError) as caught:
        RowRequests(hook, "MiniMax-Hailuo-02").prepare(row(**{k: v for k, v in given.items() if v is not None}))
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("durration", "duration"),
        ("Duration", "duration"),
        ("duration_s", "duration"),
        ("aspect ratio", "aspect_ratio"),
        ("aspect-ratio", "aspect_ratio"),
        ("prompt_", "prompt"),
        ("image_url", "image_urls"),
        ("images", "image"),
        ("Image", "image"),
        ("models", "model"),
        ("parameter", "parameters"),
    ],
)
def test_misspelled_parameters(hook: EvoLinkHook, field: str, meant: str) -> None:
    """A field that is most likely a misspelled parameter is refused with the right spelling, unless files need it."""
    fields = {"prompt": "x", "image_urls": [LINK], field: "8"}
    with pytest.raises(InvalidInputError, match=f"`{field}`='8'.*`{meant}`"):
        RowRequests(hook, OMNI).prepare(row(**fields))
    assert field not in body(RowRequests(hook, OMNI, name_fields={"sku", field}), **fields)


@pytest.mark.parametrize("common", [True, False])
def test_misspelled_parameters_that_are_sent_as_they_are(hook: EvoLinkHook, common: bool) -> None:
    """What is in ``parameters``, of all rows or of one, is refused if it is misspelled, as by any operator."""
    misspelled = {"duraton": 5}
    requests = RowRequests(hook, OMNI, misspelled if common else {})
    own = {} if common else {"parameters": misspelled}
    with pytest.raises(InvalidInputError, match=r"`duraton`=5 .*named `duration`"):
        requests.prepare(row(prompt="x", image=LINK, **own))
    assert "durations" in body(RowRequests(hook, OMNI, {"durations": 1}), prompt="x", image=LINK, duration=5)


@pytest.mark.parametrize("duration", [5.0, "5.0"])
def test_a_whole_number_of_a_data_frame(hook: EvoLinkHook, duration: object) -> None:
    """A row's 5.0 is the same request as its 5."""
    made = [RowRequests(hook, OMNI).prepare(row(prompt="x", image=LINK, duration=value)) for value in (duration, 5)]
    assert made[0].body == made[1].body


@pytest.mark.parametrize("field", ["quantity", "title", "price", "format", "ratio", "status", "colour", "url", "", "n"])
def test_other_fields_are_no_misspellings(hook: EvoLinkHook, field: str) -> None:
    """What a table of products has besides is not mistaken for a parameter."""
    assert body(RowRequests(hook, OMNI), prompt="x", image=LINK, **{field: "8"}).keys() == {"prompt", "image_urls"}


def test_models_of_rows(hook: EvoLinkHook) -> None:
    """A row's own model is used instead of the default, with its own parameters."""
    requests = RowRequests(hook, OMNI)
    request = requests.prepare(row(model="gpt-image-2", prompt="x", size="1:1"))
    assert request.model == "gpt-image-2"
    assert request.endpoint == "/v1/images/generations"
    assert json.loads(request.body) == {"model": "gpt-image-2", "prompt": "x", "size": "1:1"}


def test_images(hook: EvoLinkHook, tmp_path: Path) -> None:
    """``image`` is an image in any form, and goes where the row's model takes one."""
    requests = RowRequests(hook, OMNI, {"image_urls": ["https://example.com/other.jpg"]})
    assert body(requests, prompt="x", image=LINK)["image_urls"] == [LINK]
    assert body(requests, prompt="x", image=str(PNG))["image_urls"][0].startswith("data:image/png;base64,")
    edited = json.loads(requests.prepare(row(model="gpt-image-2", prompt="x", image=LINK)).body)
    assert edited["image_urls"] == [LINK]
    with pytest.raises(UnreadableInputError, match="`image`="):
        body(requests, prompt="x", image=str(tmp_path / "none.png"))
    with pytest.raises(InvalidInputError, match="`model`="):
        body(requests, prompt="x", image=LINK, model=TEXT_TO_VIDEO)


def test_last_images(hook: EvoLinkHook) -> None:
    """``last_image`` goes where the row's model takes a last frame."""
    requests, last = RowRequests(hook, "minimax-h3-image-to-video"), "https://example.com/last.jpg"
    sent = body(requests, prompt="x", image=LINK, last_image=last)
    assert (sent["image_start"], sent["image_end"]) == (LINK, last)
    seedance = json.loads(
        requests.prepare(row(model="seedance-2.0-image-to-video", prompt="x", image=LINK, last_image=last)).body
    )
    assert seedance["image_urls"] == [LINK, last]


def test_media_in_rows(hook: EvoLinkHook, tmp_path: Path) -> None:
    """Local media in a row's own fields, in its ``image`` and in nested ones get links, each named by its content."""
    requests = RowRequests(hook, "kling-v3-image-to-video")
    (tmp_path / "a.png").write_bytes(files.png(1024, 1024))
    path = str(tmp_path / "a.png")
    for fields in ({"image": path}, {"image_start": path}, {"parameters": {"image_start": path}}):
        [pending] = requests.prepare(row(prompt="x", **fields)).pending_media
        assert pending.parameter == "image_start"
    [listed] = requests.prepare(row(model="gpt-image-2", prompt="x", image_urls=path)).pending_media
    assert (listed.parameter, listed.identity) == ("image_urls[0]", pending.identity)
    with pytest.raises(InvalidInputError, match=r"^`image`=.*upload='never'"):
        RowRequests(hook, "kling-v3-image-to-video", upload="never").prepare(row(prompt="x", image=path))


def test_parameters_of_rows(hook: EvoLinkHook) -> None:
    """A row's ``parameters`` are sent as they are, with undocumented ones, over those of all rows, below its fields."""
    requests = RowRequests(hook, OMNI, {"duration": 3, "aspect_ratio": "auto", "seed": 1})
    fields = {"prompt": "x", "image": LINK, "parameters": {"duration": 4, "aspect_ratio": "9:16", "fps": 24}}
    request = requests.prepare(row(**fields, duration=5))
    sent = json.loads(request.body)
    assert (sent["duration"], sent["aspect_ratio"], sent["fps"], sent["seed"]) == (5, "9:16", 24, 1)
    assert any("`fps`" in warning for warning in request.warnings)
    assert body(requests, **{**fields, "parameters": '{"fps": 24}'})["fps"] == 24


def test_callback_urls(hook: EvoLinkHook) -> None:
    """A callback URL is sent for all rows, or the row's own."""
    requests = RowRequests(hook, TEXT_TO_VIDEO, callback_url="https://example.com/all")
    assert body(requests, prompt="x")["callback_url"] == "https://example.com/all"
    assert body(requests, prompt="x", callback_url="https://example.com/a")["callback_url"] == "https://example.com/a"


def test_models_that_are_not_in_the_catalog(hook: EvoLinkHook) -> None:
    """Of a new model those fields are sent that any model of its endpoint documents, and all ``parameters``."""
    requests = RowRequests(hook, "brand-new", {"fps": 24}, media_type="video")
    fields = {"prompt": "7", "duration": "8", "image": LINK, "title": "Shoe", "seed": "auto", "sound": "off"}
    request = requests.prepare(row(**fields, generate_audio="true", parameters={"zoom": "2"}))
    assert json.loads(request.body) == {
        "model": "brand-new",
        "prompt": "7",
        "duration": 8,
        "image_urls": [LINK],
        "seed": "auto",
        "sound": "off",
        "generate_audio": True,
        "fps": 24,
        "zoom": "2",
    }
    assert request.warnings
    assert requests.unsent == ["sku", "title"]


def test_common_parameters_are_a_mapping(hook: EvoLinkHook) -> None:
    """Parameters of all rows that are no mapping are refused before any row is looked at."""
    with pytest.raises(InvalidInputError, match="`parameters`="):
        RowRequests(hook, OMNI, "text")


def test_the_names_of_unsent_fields_are_bounded(hook: EvoLinkHook) -> None:
    """Rows that each have fields of their own don't fill the memory with their names."""
    requests = RowRequests(hook, OMNI)
    requests.prepare(row(prompt="x", image=LINK, **{f"x{number}": 1 for number in range(500)}))
    assert len(requests.unsent) == 50


@pytest.mark.parametrize("model", [OMNI, "no-idea", "gemini-omni-flash-image-to-vide"])
def test_what_a_row_costs(hook: EvoLinkHook, model: str) -> None:
    """Ten thousand rows are checked in seconds, also if their model is not in the catalog."""
    requests = RowRequests(hook, model, {"aspect_ratio": "9:16"}, name_fields={"sku"})
    product = row(prompt="A red shoe " * 20, image=LINK, duration="8", title="Shoe", price=3.5, stock=3)
    times = []
    for _ in range(300):
        start = time.perf_counter()
        try:
            requests.prepare(product)
        except InvalidInputError as error:
            assert error.parameter == "media_type"
        times.append(time.perf_counter() - start)
    # The fastest, as the machine may be busy; twice what was measured.
    assert min(times) < 300e-6


def test_a_row_without_an_image(hook: EvoLinkHook) -> None:
    """The error names the field that takes an image in any form, and all the forms."""
    allowed = (
        "given, as a single image: a link, a data URL, base64, a path, a storage URI or the record of a generation"
    )
    for model, parameter in ((OMNI, "image_urls"), ("kling-v3-image-to-video", "image_start")):
        with pytest.raises(InvalidInputError, match=f"`image`=None is invalid: must be {allowed}; or `{parameter}`"):
            RowRequests(hook, model).prepare(row(prompt="x"))


def test_a_number_is_no_image(hook: EvoLinkHook) -> None:
    """The error shows it."""
    with pytest.raises(InvalidInputError, match=r"^`image`=3\.5 is invalid: must be a single image"):
        RowRequests(hook, OMNI).prepare(row(prompt="x", image=3.5))
