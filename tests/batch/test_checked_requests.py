# SPDX-License-Identifier: Apache-2.0
"""Tests for the requests that are kept between the check of all rows and their submission."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_evolink.api.pending_media import PendingMedia
from airflow_provider_evolink.api.request import GenerationRequest
from airflow_provider_evolink.batch import checked_requests
from airflow_provider_evolink.batch.checked_requests import CheckedRequests
from airflow_provider_evolink.batch.rows import Row


def row(number: int, prompt: str = "A cat.") -> Row:
    """Return a row."""
    return Row(number, f"A{number}", {"prompt": prompt})


@pytest.fixture
def prepared() -> list[Row]:
    """The rows that requests were made of, in order."""
    return []


@pytest.fixture
def prepare(prepared: list[Row]) -> Callable[[Row], GenerationRequest]:
    """Make a request whose body is the prompt."""

    def make(row: Row) -> GenerationRequest:
        prepared.append(row)
        return GenerationRequest("model", "/v1/videos/generations", str(row.fields["prompt"]).encode())

    return make


def test_a_checked_row_is_not_prepared_again(prepare: Callable[[Row], GenerationRequest], prepared: list[Row]) -> None:
    """Its request is the one that was checked."""
    requests = CheckedRequests(prepare, 10)
    checked = requests.check(row(1))

    assert requests.take(row(1)) is checked
    assert prepared == [row(1)]


def test_a_row_that_has_changed_since_is_prepared_again(
    prepare: Callable[[Row], GenerationRequest], prepared: list[Row]
) -> None:
    """What is sent is what the table holds at that time."""
    requests = CheckedRequests(prepare, 10)
    requests.check(row(1))

    assert requests.take(row(1, "A dog.")).body == b"A dog."
    assert prepared == [row(1), row(1, "A dog.")]


def test_data_that_will_be_uploaded_take_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that holds a picture is not kept because its request is short."""
    monkeypatch.setattr(checked_requests, "_MAX_BYTES", 100)
    media = PendingMedia("sha256:0", "image_urls[0]", "data.png", size=1000)
    requests = CheckedRequests(lambda _: GenerationRequest("m", "/v1/x", b"{}", pending_media=(media,)), 10)
    checked = requests.check(row(1))

    assert requests.take(row(1)) is not checked


@pytest.mark.parametrize(("count", "max_bytes"), [(1, 100), (10, 6)])
def test_what_has_no_room_is_prepared_again(
    prepare: Callable[[Row], GenerationRequest],
    prepared: list[Row],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    max_bytes: int,
) -> None:
    """Neither many requests nor large ones fill the memory."""
    monkeypatch.setattr(checked_requests, "_MAX_BYTES", max_bytes)
    requests = CheckedRequests(prepare, count)
    checked = [requests.check(row(number)) for number in (1, 2)]
    taken = [requests.take(row(number)) for number in (1, 2)]

    assert [taken is checked for taken, checked in zip(taken, checked, strict=True)] == [True, False]
    assert prepared == [row(1), row(2), row(2)]
