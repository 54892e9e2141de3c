# SPDX-License-Identifier: Apache-2.0
"""Tests of the macros that show landed files in Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_evolink.ui.macros import poster, watch

FILE = {"uri": "file:///videos/0.mp4", "poster": "file:///videos/0.mp4.poster.jpg"}
WITHOUT_POSTER = {"uri": "file:///videos/1.mp4", "poster": None}
OLD = {"uri": "file:///videos/2.mp4"}
TAB = "dags/shop/runs/manual__1%2B2/tasks/land{}/plugin/evolink-video"
POSTER = "evolink/dags/shop/posters/{}?run_id=manual__1%2B2&task_id=land&map_index={}"


@dataclass
class ReadingTask:
    """A task instance that asks; Airflow's own takes the same arguments.

    :param returned: what the tasks of its run have returned, by task id and map index.
    """

    returned: dict[tuple[str, int], Any] = field(default_factory=dict)
    map_index: int = -1
    dag_id: str = "shop"
    run_id: str = "manual__1+2"

    def xcom_pull(self, *, task_ids: str, map_indexes: int) -> Any:
        return self.returned.get((task_ids, map_indexes))


@pytest.mark.parametrize(
    "returned",
    [[FILE], {"generation_id": "task-unified-1", "landed": [FILE]}],
    ids=["transfer", "record"],
)
def test_a_poster_is_a_link_to_the_tab(returned: Any) -> None:
    """A poster is an image in a link to the tab, with relative addresses that Markdown takes as they are."""
    ti = ReadingTask({("land", -1): returned})

    assert poster(ti, "land") == f"[![Watch]({POSTER.format(0, -1)})]({TAB.format('')})"


def test_only_files_with_a_poster_have_an_image() -> None:
    """Files without a poster, or from before there were any, have no broken image, and the others keep their number."""
    ti = ReadingTask({("land", -1): [OLD, WITHOUT_POSTER, FILE]})

    assert poster(ti, "land") == f"[![Watch]({POSTER.format(2, -1)})]({TAB.format('')})"


@pytest.mark.parametrize(
    "returned",
    [[WITHOUT_POSTER], [], {"landed": 12, "manifest": "file:///m.jsonl"}, {"generation_id": "task-unified-1"}, "text"],
    ids=["no-poster", "nothing", "batch", "not-landed", "foreign"],
)
def test_without_posters_there_is_a_link(returned: Any) -> None:
    """Where no file has a poster, the link to the tab stands in its place."""
    ti = ReadingTask({("land", -1): returned})

    assert poster(ti, "land") == watch(ti, "land") == f"[Watch]({TAB.format('')})"


def test_a_mapped_reader_sees_its_own() -> None:
    """In a mapped task group each instance shows what its own neighbor has landed."""
    ti = ReadingTask({("land", 3): [FILE], ("land", 4): [FILE]}, map_index=3)

    assert watch(ti, "land") == f"[Watch]({TAB.format('/mapped/3')})"
    assert poster(ti, "land") == f"[![Watch]({POSTER.format(0, 3)})]({TAB.format('/mapped/3')})"


def test_a_mapped_reader_of_a_task_that_is_not() -> None:
    """A mapped task shows what a task before it has landed once for all."""
    ti = ReadingTask({("land", -1): [FILE]}, map_index=3)

    assert watch(ti, "land") == f"[Watch]({TAB.format('')})"


def test_the_map_index_can_be_chosen() -> None:
    """A map index that is given is the only one that is read."""
    ti = ReadingTask({("land", 7): [FILE], ("land", -1): [FILE]})

    assert watch(ti, "land", map_index=7, text="Play") == f"[Play]({TAB.format('/mapped/7')})"


def test_all_of_a_mapped_task() -> None:
    """Where the task has landed nothing under the reader's map index, the link leads to the gallery of the run."""
    ti = ReadingTask({("land", 0): [FILE], ("land", 1): [FILE]})

    assert watch(ti, "land") == "[Watch](dags/shop/runs/manual__1%2B2/plugin/evolink-gallery)"
