# SPDX-License-Identifier: Apache-2.0
"""A request names media by their content, and gets their links just before it is sent."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from airflow_provider_evolink.api.pending_media import PendingMedia, placeholder
from airflow_provider_evolink.api.request import GenerationRequest, encode_body

CAT, DOG = f"sha256:{'a' * 64}", "generation:task-unified-1-abc/0"


def request_with(parameters: dict[str, Any], *identities: str) -> GenerationRequest:
    """Return a request that waits for the links of these media."""
    body = encode_body({"model": "m", **parameters})
    pending = tuple(PendingMedia(identity, "image_urls[0]", "cat.png") for identity in identities)
    return GenerationRequest("m", "/v1/videos/generations", body, pending_media=pending)


def test_a_link_takes_the_place_of_each_placeholder() -> None:
    """All places of one identity get its link, at any depth."""
    nested = {"image_urls": [placeholder(CAT), placeholder(DOG)], "model_params": {"mask": {"url": placeholder(CAT)}}}
    request = request_with(nested, CAT, DOG)
    sent = json.loads(
        request.with_links({CAT: "https://files.evolink.ai/cat.png", DOG: "https://cdn.evolink.ai/d?x=é"})
    )
    assert sent == {
        "model": "m",
        "image_urls": ["https://files.evolink.ai/cat.png", "https://cdn.evolink.ai/d?x=é"],
        "model_params": {"mask": {"url": "https://files.evolink.ai/cat.png"}},
    }


def test_a_request_without_pending_media_is_sent_as_it_is() -> None:
    """The body is the very same bytes, even if a prompt looks like a placeholder."""
    request = request_with({"prompt": placeholder(CAT)})
    assert request.with_links({CAT: "https://example.com/x"}) is request.body


@pytest.mark.parametrize(
    "prompt", [f'say "{placeholder(CAT)}"', f"{placeholder(CAT)} and more", f'"{placeholder(CAT)}']
)
def test_a_prompt_that_contains_a_placeholder_stays_as_it_is(prompt: str) -> None:
    """Only a text that is a placeholder as a whole is replaced."""
    request = request_with({"prompt": prompt, "image_urls": [placeholder(CAT)]}, CAT)
    assert json.loads(request.with_links({CAT: "https://example.com/x"}))["prompt"] == prompt


def test_a_link_is_never_taken_for_a_placeholder() -> None:
    """What a link contains is not replaced again."""
    request = request_with({"image_urls": [placeholder(CAT), placeholder(DOG)]}, CAT, DOG)
    sent = json.loads(request.with_links({CAT: placeholder(DOG), DOG: r"https://example.com/\1\g<0>"}))
    assert sent["image_urls"] == [placeholder(DOG), r"https://example.com/\1\g<0>"]


def test_a_missing_link_is_an_error() -> None:
    """A body with a placeholder in it is never sent."""
    with pytest.raises(KeyError, match=CAT):
        request_with({"image_urls": [placeholder(CAT)]}, CAT).with_links({DOG: "https://example.com/x"})


def test_the_same_links_give_the_same_bytes() -> None:
    """A replay sends what was sent before, byte for byte."""
    request = request_with({"image_urls": [placeholder(CAT)]}, CAT)
    assert request.with_links({CAT: "https://example.com/x"}) == request.with_links({CAT: "https://example.com/x"})


def test_a_pending_media_value_is_known_by_its_content() -> None:
    """How it is opened, and its link in texts, are no part of it."""
    media = PendingMedia(CAT, "image_urls[0]", "cat.png", link="https://example.com/?sig=1", open=io.BytesIO)
    assert media == PendingMedia(CAT, "image_urls[0]", "cat.png", link="https://example.com/?sig=1")
    assert "sig" not in repr(media)
    assert media.placeholder == f"evolink-media:{CAT}"
    assert (media.sha256, PendingMedia(DOG, "video_url", "a result").sha256) == ("a" * 64, None)
