# SPDX-License-Identifier: Apache-2.0
"""``EvoLinkHook.submit``: what the caller has to keep to send the same submission again, and what is checked first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.api.errors import IdempotencyConflictError, InvalidInputError
from airflow_provider_evolink.api.request import GenerationRequest
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.hooks.evolink import EvoLinkHook
from tests.operators.submissions import accepted
from tests.uploading import LINKS_ONLY, forget_links, uploads, write_picture

pytestmark = pytest.mark.usefixtures("no_pauses")

KEY = "test-0123456789abcdef"


@pytest.fixture
def request_with_file(emulator: EmulatorHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GenerationRequest:
    """A request whose picture has to be uploaded; every call is a process of its own."""
    forget_links(monkeypatch)
    picture = write_picture(tmp_path / "a.png")
    return EvoLinkHook().prepare(LINKS_ONLY, {"prompt": "It moves", "duration": 3, "image_urls": [picture]})


@pytest.mark.parametrize("key", ["", "x" * 15, "x" * 97, "a b" * 6, "é" * 20, f"{KEY}\n", None, 7])
def test_a_key_of_another_form(emulator: EmulatorHandle, request_with_file: GenerationRequest, key: Any) -> None:
    """It is refused with what is allowed before anything is uploaded or sent."""
    with pytest.raises(InvalidInputError, match=r"`idempotency_key`=.* must be 16 to 96 characters"):
        EvoLinkHook().submit(request_with_file, key)
    assert emulator.control.state()["requests"]["total"] == 0


@pytest.mark.parametrize("key", ["x" * 16, "x" * 96, "a.b_c-D0123456789"])
def test_a_key_of_the_right_form(emulator: EmulatorHandle, key: str) -> None:
    """The shortest, the longest and every kind of character are sent."""
    hook = EvoLinkHook()
    assert hook.submit(hook.prepare("z-image-turbo", {"prompt": "A lighthouse"}), key).replayed is False


def test_the_same_links_make_it_the_same_submission(
    emulator: EmulatorHandle, request_with_file: GenerationRequest
) -> None:
    """With the links that the caller has kept, another process sends the same body: nothing is uploaded or paid."""
    links = EvoLinkHook().media_links(request_with_file)
    first = EvoLinkHook().submit(request_with_file, KEY, media_links=links)

    again = EvoLinkHook().submit(request_with_file, KEY, media_links=links)

    assert (again.replayed, again.generation.id) == (True, first.generation.id)
    assert len(uploads(emulator)) == len(accepted(emulator)) == 1


def test_other_links_pay_nothing(emulator: EmulatorHandle, request_with_file: GenerationRequest) -> None:
    """Without them another process uploads again, and EvoLink rejects the other body under the same key."""
    EvoLinkHook().submit(request_with_file, KEY)

    with pytest.raises(IdempotencyConflictError) as caught:
        EvoLinkHook().submit(request_with_file, KEY)
    assert caught.value.charged is False
    assert len(accepted(emulator)) == 1


def test_a_link_that_is_missing(emulator: EmulatorHandle, request_with_file: GenerationRequest) -> None:
    """Links of another request are refused by name, and nothing is sent."""
    with pytest.raises(InvalidInputError, match=r"`media_links`=.*sha256:"):
        EvoLinkHook().submit(request_with_file, KEY, media_links={})
    assert emulator.control.state()["requests"]["total"] == 0
