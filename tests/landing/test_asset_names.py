# SPDX-License-Identifier: Apache-2.0
"""Tests of the names and URIs of assets."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from airflow.sdk import Asset

from airflow_provider_evolink.api.errors import LandingInputError
from airflow_provider_evolink.landing.asset_names import asset_key, check_asset_names
from airflow_provider_evolink.landing.filenames import Result
from airflow_provider_evolink.landing.media_types import MediaType

RESULT = Result("task-unified-1", 0, "https://x.test/a", "veo3.1")
OTHER = Result("task-unified-1", 1, "https://x.test/b", "veo3.1")
MP4 = MediaType("mp4", "video/mp4")


def test_the_fields_are_those_of_a_file_name() -> None:
    """A name has the fields that the name of a file has."""
    key = asset_key("{kind}s/{model} {generation_id}-{index:03d}.{ext} {role}", RESULT, MP4)

    assert key.name == "videos/veo3.1 task-unified-1-000.mp4 result"
    assert key.uri == "evolink://videos/veo3.1%20task-unified-1-000.mp4%20result"


@pytest.mark.parametrize(
    "name",
    ["take #0", "what? 1", "100% sure", "%23", "a b;c=d&e", "film[1]", "größer #ü", "you@home:8080", "a//b", "A"],
)
def test_any_name(name: str) -> None:
    """Whatever the name, it is ASCII, and Airflow keeps the URI, which identifies that name alone."""
    key = asset_key(name, RESULT, MP4)

    asset = Asset(*key, group="evolink")
    assert (asset.name, asset.group) == (key.name, "evolink")
    assert asset.name.isascii()
    assert asset.uri.removesuffix("/") == key.uri
    assert unquote(key.uri.removeprefix("evolink://")) == name


@pytest.mark.parametrize(
    "pattern",
    [None, 5, "", " ", "/", "a/", " a", "self", "context", "a\n", "{nonsense}", "{", "{index!r}", "ü" * 300, "{0}"],
)
def test_refused_patterns(pattern: object) -> None:
    """What Airflow would refuse after the landing, or change, is refused before, and the error names the argument."""
    with pytest.raises(LandingInputError, match=r"^`asset_name`=.* is invalid: must be "):
        check_asset_names(pattern, [RESULT])


def test_one_name_for_two_results() -> None:
    """Two results get two names, since of two events for one asset a consumer's run gets only the first."""
    check_asset_names("{index}", [RESULT, OTHER])
    with pytest.raises(LandingInputError, match=r"several results would be named 'lamp'"):
        check_asset_names("lamp", [RESULT, OTHER])
