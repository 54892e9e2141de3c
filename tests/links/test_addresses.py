# SPDX-License-Identifier: Apache-2.0
"""Addresses are relative, and name what they were made for."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.links import addresses

TEXT = st.text(st.characters(codec="utf-8"), min_size=1)


def test_a_run_id_is_encoded_as_a_whole() -> None:
    """A plus sign, a colon or a slash of a run id does not change the meaning of an address."""
    address = addresses.file("shop", "a+b:c/d", "make.video", 3, 1)
    assert address == "evolink/dags/shop/files/1?run_id=a%2Bb%3Ac%2Fd&task_id=make.video&map_index=3"
    assert addresses.video_tab("shop", "a+b:c/d", "land") == (
        "dags/shop/runs/a%2Bb%3Ac%2Fd/tasks/land/plugin/evolink-video"
    )


def test_a_mapped_instance_has_a_tab_of_its_own() -> None:
    """The tab of a mapped task instance names its map index, also 0."""
    assert addresses.video_tab("shop", "r", "land", 0) == "dags/shop/runs/r/tasks/land/mapped/0/plugin/evolink-video"


def test_what_is_not_given_is_left_out() -> None:
    """The list of a whole run names no task and no map index."""
    assert addresses.entries("shop", "r") == "evolink/dags/shop/entries?run_id=r"
    assert addresses.entries("shop", "r", "land") == "evolink/dags/shop/entries?run_id=r&task_id=land"
    assert addresses.gallery_page("shop", "r") == "evolink/dags/shop/gallery?run_id=r"
    assert addresses.gallery_tab("shop", "r") == "dags/shop/runs/r/plugin/evolink-gallery"
    assert addresses.video_page("shop", "r", "land") == "evolink/dags/shop/video?run_id=r&task_id=land"


@given(TEXT, TEXT, TEXT, st.integers(-1, 1000), st.integers(0, 1000))
def test_ids_survive_the_way_through_an_address(
    dag_id: str, run_id: str, task_id: str, index: int, number: int
) -> None:
    """Whatever its ids contain, a relative address without spaces or parentheses leads back to exactly them."""
    address = addresses.poster(dag_id, run_id, task_id, index, number)
    url = urlsplit(address)
    assert not address.startswith("/")
    assert not set(address) & set(" ()[]<>\"'\\")
    assert [unquote(part) for part in url.path.split("/")] == ["evolink", "dags", dag_id, "posters", str(number)]
    query = {"run_id": [run_id], "task_id": [task_id], "map_index": [str(index)]}
    assert parse_qs(url.query, strict_parsing=True) == query
