# SPDX-License-Identifier: Apache-2.0
"""Every sentence about inputs on EvoLink's page for gemini-omni-flash-image-to-video holds.

Quotations are the page's own words.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.media import image_reference
from airflow_provider_evolink.api.request import check, check_callback_url

MODEL = "gemini-omni-flash-image-to-video"
DATA = Path(__file__).parents[1] / "data"
EXAMPLE: dict[str, Any] = {
    "prompt": "Have the person in the image slowly turn their head and smile while the leaves in the background "
    "sway gently in the breeze",
    "image_urls": ["https://example.com/portrait.jpg"],
    "aspect_ratio": "16:9",
    "duration": 10,
}
quick = settings(max_examples=100, database=None, deadline=2000)


def rejected(**changes: Any) -> str:
    """Return what is allowed instead of the page's example with these changes; ``...`` removes a parameter."""
    parameters = {key: value for key, value in {**EXAMPLE, **changes}.items() if value is not ...}
    with pytest.raises(InvalidInputError) as raised:
        check(MODEL, parameters)
    assert raised.value.parameter.split("[")[0] in changes
    return raised.value.allowed


def accepted(**changes: Any) -> bool:
    """Return whether the page's example with these changes passes without a warning."""
    return check(MODEL, {key: value for key, value in {**EXAMPLE, **changes}.items() if value is not ...}) == []


def data(name: str) -> bytes:
    """Read an image."""
    return (DATA / name).read_bytes()


def test_endpoint() -> None:
    """Documented: "/v1/videos/generations: post"."""
    assert catalog.endpoint_for(MODEL) == "/v1/videos/generations"


def test_example() -> None:
    """The page's own example passes unchanged."""
    assert accepted()
    assert accepted(callback_url="https://your-domain.com/webhooks/video-task-completed")


def test_model_is_fixed() -> None:
    """Documented: "Model name, fixed to `gemini-omni-flash-image-to-video`"."""
    assert accepted(model=MODEL)
    with pytest.raises(InvalidInputError, match="model"):
        check(MODEL, {**EXAMPLE, "model": "gemini-omni-flash-text-to-video"})


def test_prompt_is_required() -> None:
    """Documented: "required: model, prompt", and a blank prompt does not count."""
    assert rejected(prompt=...).startswith("given, as ")
    for blank in ("", " ", "\n\t\u3000"):
        assert "non-blank" in rejected(prompt=blank)


@pytest.mark.parametrize("prompt", [5, None, ["a"], {"text": "a"}, True])
def test_prompt_is_text(prompt: object) -> None:
    """Documented: "prompt: type: string"."""
    assert "text" in rejected(prompt=prompt)


@pytest.mark.parametrize("prompt", ["Slow pan. No dialogue, no text on screen", "镜头缓慢推进", "🌧", "x" * 20_000])
def test_prompt_in_any_language(prompt: str) -> None:
    """Documented: "supports both English and Chinese"; no length limit is documented."""
    assert accepted(prompt=prompt)


def test_no_negative_prompt() -> None:
    """Documented: "this model does not provide a separate negative prompt parameter": a warning."""
    (warning,) = check(MODEL, {**EXAMPLE, "negative_prompt": "dialogue"})
    assert warning.startswith("`negative_prompt` is not documented")


def test_exactly_one_image() -> None:
    """Documented: "Array of input images; currently only 1 is supported": minItems 1, maxItems 1."""
    image = "https://example.com/portrait.jpg"
    for images in ([], [image, image]):
        assert "a list of exactly 1 item" in rejected(image_urls=images)
    assert "a list" in rejected(image_urls=image)
    assert "a list" in rejected(image_urls=None)
    assert rejected(image_urls=...).startswith("given, as ")


@pytest.mark.parametrize("url", ["https://example.com/portrait.jpg", "http://example.com/portrait.jpg"])
def test_image_as_url(url: str) -> None:
    """Documented: "HTTP/HTTPS image URL"."""
    assert accepted(image_urls=[url])
    assert image_reference(url, data) == url


@pytest.mark.parametrize(("name", "kind"), [("frame.png", "png"), ("frame.jpg", "jpeg"), ("frame.webp", "webp")])
def test_image_as_data_url_or_base64(name: str, kind: str) -> None:
    """Documented: "Data URL in the form `data:image/...;base64,...`", "Plain base64 image string"."""
    plain = base64.b64encode(data(name)).decode()
    url = f"data:image/{kind};base64,{plain}"
    assert accepted(image_urls=[plain])
    assert accepted(image_urls=[url])
    assert image_reference(name, data) == url


def test_other_images() -> None:
    """Documented: "`png`, `jpeg`, `webp` are supported", and nothing else."""
    plain = base64.b64encode(data("frame.gif")).decode()
    for image in (plain, f"data:image/gif;base64,{plain}", f"data:image/png;base64,{plain}"):
        assert "png, jpeg or webp" in rejected(image_urls=[image])
    with pytest.raises(InvalidInputError, match="a GIF image"):
        image_reference("frame.gif", data)


@pytest.mark.parametrize("image", ["portrait.jpg", "/data/portrait.jpg", "s3://bucket/portrait.jpg", "", None, 5])
def test_image_in_no_supported_form(image: object) -> None:
    """A path is not one of the three "supported forms"; it has to be read first."""
    assert "png, jpeg or webp" in rejected(image_urls=[image])


def test_duration_integers() -> None:
    """Documented: "Integer: range `3 ~ 10` seconds"."""
    assert all(accepted(duration=seconds) for seconds in range(3, 11))


@quick
@given(st.integers().filter(lambda number: not 3 <= number <= 10))
def test_duration_out_of_range(number: int) -> None:
    """No integer outside 3 to 10 passes."""
    rejected(duration=number)


@quick
@given(
    st.one_of(
        st.floats(), st.booleans(), st.none(), st.text().filter(lambda text: text != "auto"), st.lists(st.just(5))
    )
)
def test_duration_of_another_type(value: object) -> None:
    """Nothing but an integer or ``auto`` is a duration: not 3.0, not True, not "5"."""
    rejected(duration=value)


@pytest.mark.parametrize("value", [2, 11, 3.5, 3.0, True, False, "5", "AUTO", "auto ", None, "", [5], {"seconds": 5}])
def test_duration_error_says_what_is_allowed(value: object) -> None:
    """The error names the range and the one word that is allowed."""
    assert rejected(duration=value) == "an integer from 3 to 10, or 'auto'"


def test_duration_auto_and_default() -> None:
    """Documented: "`auto`: the model decides the output duration"; "default `10`", so it may be left out."""
    assert accepted(duration="auto")
    assert accepted(duration=...)


@pytest.mark.parametrize("ratio", ["16:9", "9:16", "auto", ...])
def test_aspect_ratio(ratio: object) -> None:
    """Documented: "`16:9`: landscape", "`9:16`: portrait", "`auto`"; "default `16:9`", so it may be left out."""
    assert accepted(aspect_ratio=ratio)


@pytest.mark.parametrize("ratio", ["1:1", "4:3", "16 : 9", "16/9", "AUTO", "", None, 969, 1.78, ["16:9"]])
def test_other_aspect_ratios(ratio: object) -> None:
    """Other ratios are rejected, including 969, which YAML makes of an unquoted 16:9."""
    assert rejected(aspect_ratio=ratio) == "'16:9', '9:16' or 'auto'"


def test_callback_is_https_only() -> None:
    """Documented: "HTTPS protocol only"."""
    for url in ("http://example.com/hook", "ftp://example.com/", "example.com", "", None, 5):
        assert "https" in rejected(callback_url=url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.255.0.9", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
        "169.254.169.254", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::10.0.0.1]",
        "[2002:7f00:1::]", "[fe80::1]", "[fd00::1]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1.",
        "１２７.０.０.１", "localhost", "hooks.localhost", "hooks.local", "hooks.internal", "hooks", "127.0.0.1%2e",  # noqa: RUF001
        "user:password@example.com", "example.com\\@10.0.0.1", "example.com@10.0.0.1",
    ],
)  # fmt: skip
def test_callback_to_internal_addresses(host: str) -> None:
    """Documented: "Callbacks to internal IP addresses are forbidden (127.0.0.1, 10.x.x.x, 172.16-31.x.x, ...)"."""
    rejected(callback_url=f"https://{host}/hook")
    rejected(callback_url=f"https://{host}")


@pytest.mark.parametrize("host", ["172.15.255.255", "172.32.0.1", "11.0.0.1", "192.167.0.1", "8.8.8.8", "example.com"])
def test_callback_to_public_addresses(host: str) -> None:
    """Addresses just outside the internal ranges pass."""
    assert accepted(callback_url=f"https://{host}/hook")


def test_callback_length() -> None:
    """Documented: "URL length must not exceed `2048` characters"."""
    beginning = "https://example.com/"
    check_callback_url(beginning + "x" * (2048 - len(beginning)))
    assert "2048 characters" in rejected(callback_url=beginning + "x" * (2049 - len(beginning)))


def test_links_are_valid_for_24_hours() -> None:
    """Documented: "The generated video link is valid for 24 hours"; "estimated_time: 60"."""
    model = catalog.find(MODEL)
    assert model is not None
    assert model.link_life.total_seconds() == 24 * 3600
    assert model.estimated_seconds == 60
