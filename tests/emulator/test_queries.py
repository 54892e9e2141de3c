# SPDX-License-Identifier: Apache-2.0
"""Batch, list and what faults in a generation's life show."""

from __future__ import annotations

import time

import pytest


def test_batch_answers_known_generations_only(api):
    """A batch holds the same as single queries; unknown ids are absent."""
    ids = [api.submit() for _ in range(3)]
    api.finish()
    answer = api.http.post("/v1/tasks/batch", json={"task_ids": [*ids, "task-unified-1-unknown1", "x"]}).json()
    assert answer == {"data": [api.read(generation_id) for generation_id in ids]}


@pytest.mark.parametrize(
    "body", [{}, [], {"task_ids": []}, {"task_ids": "x"}, {"task_ids": [1]}, {"task_ids": ["x"] * 51}]
)
def test_batch_takes_1_to_50_ids(api, body):
    """Anything else than a list of 1 to 50 ids is a 400 that names task_ids."""
    response = api.http.post("/v1/tasks/batch", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "task_ids")


def test_list_shows_the_newest_first_without_links(api):
    """The list is newest first, in pages, filtered by status, type and model, and holds no links."""
    ids = [api.submit() for _ in range(3)] + [api.submit("image", model="gpt-image-2")]
    answer = api.http.get("/v1/tasks", params={"page_size": 2, "page": 1}).json()
    assert [entry["id"] for entry in answer["data"]] == [ids[3], ids[2]]
    assert (answer["total"], answer["page"], answer["page_size"]) == (4, 1, 2)
    assert api.http.get("/v1/tasks", params={"type": "image"}).json()["total"] == 1
    assert api.http.get("/v1/tasks", params={"status": "processing"}).json()["total"] == 4
    api.finish()
    assert api.http.get("/v1/tasks", params={"status": "processing"}).json()["total"] == 0
    completed = api.http.get("/v1/tasks", params={"status": "completed", "model": "gpt-image-2"})
    assert completed.json()["data"][0]["has_results"] is True
    assert "/media/" not in completed.text


@pytest.mark.parametrize("status", ["pending", "all", "Completed"])
def test_list_takes_known_status_filters_only(api, status):
    """Filters that EvoLink's clients know as refused are refused."""
    assert api.http.get("/v1/tasks", params={"status": status}).status_code == 400


@pytest.mark.parametrize(
    ("fault", "options", "status", "code"),
    [
        ("moderation", {}, "failed", "content_policy_violation"),
        ("task_failure", {"code": "resource_exhausted", "message": "busy"}, "failed", "resource_exhausted"),
        ("cancelled", {}, "cancelled", None),
    ],
)
def test_generations_can_end_badly(api, fault, options, status, code):
    """A generation can be made to fail with any code, or to be cancelled; the next one is fine again."""
    api.control.inject(fault, **options)
    bad, good = api.submit(), api.submit()
    api.finish()
    answer = api.read(bad)
    assert (answer["status"], answer.get("error", {}).get("code")) == (status, code)
    assert "results" not in answer
    assert api.read(good)["status"] == "completed"


def test_generations_can_complete_without_links(api):
    """no_results completes without results; result_data_only has the links in result_data alone."""
    api.control.inject("no_results")
    api.control.inject("result_data_only")
    bare, odd = api.submit(), api.submit()
    api.finish()
    assert api.read(bare).keys().isdisjoint({"results", "result_data"})
    assert "results" not in api.read(odd)
    assert api.http.get(api.read(odd)["result_data"][0]["url"]).status_code == 200


def test_undocumented_status_and_stall(api):
    """unknown_status shows another word while running, stall never ends."""
    api.control.inject("unknown_status", status="reviewing")
    api.control.inject("stall", progress=30)
    odd, stuck = api.submit(), api.submit()
    api.control.advance(40)
    assert api.read(odd)["status"] == "reviewing"
    api.finish()
    assert api.read(odd)["status"] == "completed"
    assert (api.read(stuck)["status"], api.read(stuck)["progress"]) == ("processing", 30)


def test_models_without_files_deliver_data(api):
    """A model that makes no file completes without results, with its id in result_data."""
    params = {"source_task_id": "t", "result_id": "r", "name": "n", "description": "d"}
    generation_id = api.submit("audio", model="suno-persona", model_params=params)
    api.finish()
    answer = api.read(generation_id)
    assert "results" not in answer
    assert answer["result_data"]["persona_id"]


def test_vanished_generation_is_unknown_for_a_while(api):
    """The fault vanished hides a known generation from a query and from a batch."""
    generation_id = api.submit()
    api.control.inject("vanished", times=2)
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 404
    assert api.http.post("/v1/tasks/batch", json={"task_ids": [generation_id]}).json() == {"data": []}
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 200


def test_a_thousand_generations_are_cheap(api):
    """1000 waiting generations are polled in batches in well under 2 s: they have no timers of their own."""
    api.control.add_credits(1e6)
    ids = [api.submit() for _ in range(1000)]
    start = time.perf_counter()
    found = 0
    for first in range(0, 1000, 50):
        answer = api.http.post("/v1/tasks/batch", json={"task_ids": ids[first : first + 50]})
        found += len(answer.json()["data"])
    assert found == 1000
    assert time.perf_counter() - start < 2
