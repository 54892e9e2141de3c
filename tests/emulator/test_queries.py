# SPDX-License-Identifier: Apache-2.0
"""Queries for one generation, a batch and the list, with the faults that decide how a generation ends."""

from __future__ import annotations

import time

import pytest


def test_batch_has_known_generations_only(api):
    """A batch has the same entries as single queries, without unknown ids."""
    ids = [api.submit() for _ in range(3)]
    api.finish()
    body = api.http.post("/v1/tasks/batch", json={"task_ids": [*ids, "task-unified-1-unknown1", "x"]}).json()
    assert body == {"data": [api.read(generation_id) for generation_id in ids]}


@pytest.mark.parametrize(
    "body", [{}, [], {"task_ids": []}, {"task_ids": "x"}, {"task_ids": [1]}, {"task_ids": ["x"] * 51}]
)
def test_batch_accepts_1_to_50_ids(api, body):
    """Anything but a list of 1 to 50 ids gets a 400 that names task_ids."""
    response = api.http.post("/v1/tasks/batch", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "task_ids")


def test_list_is_newest_first_without_links(api):
    """The list is newest first, has pages, filters by status, type and model, and has no links."""
    ids = [api.submit() for _ in range(3)] + [api.submit("image", model="gpt-image-2")]
    body = api.http.get("/v1/tasks", params={"page_size": 2, "page": 1}).json()
    assert [entry["id"] for entry in body["data"]] == [ids[3], ids[2]]
    assert (body["total"], body["page"], body["page_size"]) == (4, 1, 2)
    assert api.http.get("/v1/tasks", params={"type": "image"}).json()["total"] == 1
    assert api.http.get("/v1/tasks", params={"status": "processing"}).json()["total"] == 4
    api.finish()
    assert api.http.get("/v1/tasks", params={"status": "processing"}).json()["total"] == 0
    completed = api.http.get("/v1/tasks", params={"status": "completed", "model": "gpt-image-2"})
    assert completed.json()["data"][0]["has_results"] is True
    entry = completed.json()["data"][0]
    assert entry["duration"] == api.read(entry["id"])["duration"]
    assert "/media/" not in completed.text


@pytest.mark.parametrize("status", ["pending", "all", "Completed"])
def test_list_rejects_unknown_status_filters(api, status):
    """Status filters that EvoLink rejects, by its own clients, get a 400."""
    assert api.http.get("/v1/tasks", params={"status": status}).status_code == 400


@pytest.mark.parametrize(
    ("fault", "options", "status", "code"),
    [
        ("moderation_rejected", {}, "failed", "content_policy_violation"),
        ("generation_failed", {"code": "resource_exhausted", "message": "busy"}, "failed", "resource_exhausted"),
        ("generation_cancelled", {}, "cancelled", None),
    ],
)
def test_generations_can_fail(api, fault, options, status, code):
    """A fault makes a generation fail with any code, or be cancelled; the next one completes."""
    api.control.inject(fault, **options)
    bad, good = api.submit(), api.submit()
    api.finish()
    body = api.read(bad)
    assert (body["status"], body.get("error", {}).get("code")) == (status, code)
    assert "results" not in body
    assert api.read(good)["status"] == "completed"


def test_generations_can_complete_without_links(api):
    """no_results completes without results; result_data_only has the links in result_data only."""
    api.control.inject("no_results")
    api.control.inject("result_data_only")
    bare, odd = api.submit(), api.submit()
    api.finish()
    assert api.read(bare).keys().isdisjoint({"results", "result_data"})
    assert "results" not in api.read(odd)
    assert api.http.get(api.read(odd)["result_data"][0]["url"]).status_code == 200


def test_undocumented_status_and_stall(api):
    """unknown_status has another status while running; generation_stalled never ends."""
    api.control.inject("unknown_status", status="reviewing")
    api.control.inject("generation_stalled", progress=30)
    odd, stuck = api.submit(), api.submit()
    api.control.advance(40)
    assert api.read(odd)["status"] == "reviewing"
    api.finish()
    assert api.read(odd)["status"] == "completed"
    assert (api.read(stuck)["status"], api.read(stuck)["progress"]) == ("processing", 30)


def test_models_without_files_deliver_an_id(api):
    """A model that delivers no file completes without results, with an id in result_data."""
    params = {"source_task_id": "t", "result_id": "r", "name": "n", "description": "d"}
    generation_id = api.submit("audio", model="suno-persona", model_params=params)
    api.finish()
    body = api.read(generation_id)
    assert "results" not in body
    assert body["result_data"]["persona_id"]


def test_known_generations_can_be_hidden(api):
    """The fault not_found hides a known generation from a query and from a batch."""
    generation_id = api.submit()
    api.control.inject("not_found", times=2)
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 404
    assert api.http.post("/v1/tasks/batch", json={"task_ids": [generation_id]}).json() == {"data": []}
    assert api.http.get(f"/v1/tasks/{generation_id}").status_code == 200


def test_a_thousand_generations_are_cheap(api):
    """1000 running generations are polled in batches within 2 s, since they have no timers."""
    api.control.add_credits(1e6)
    ids = [api.submit() for _ in range(1000)]
    start = time.perf_counter()
    found = 0
    for first in range(0, 1000, 50):
        response = api.http.post("/v1/tasks/batch", json={"task_ids": ids[first : first + 50]})
        found += len(response.json()["data"])
    assert found == 1000
    assert time.perf_counter() - start < 2
