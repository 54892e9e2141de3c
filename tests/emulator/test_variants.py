# SPDX-License-Identifier: Apache-2.0
"""Variants of responses: statuses at creation, the objects that clients read, unlimited keys, larger charges."""

from __future__ import annotations

import pytest

from airflow_provider_evolink.emulator.client import ControlError


def test_creation_may_answer_processing(api):
    """A submission may be answered with processing, which a model may also do by default."""
    assert api.post().json()["status"] == "pending"
    assert api.post(model="gemini-omni-1.1-flash-text-to-video").json()["status"] == "processing"
    api.control.set_variants(created_status="processing")
    body = api.post().json()
    assert body["status"] == api.read(body["id"])["status"] == "processing"


def test_creation_may_answer_completed(api):
    """A generation may be complete at once: the answer has its results and its charge, which a replay repeats."""
    api.control.set_variants(created_status="completed")
    first, again = api.post(key="k" * 20).json(), api.post(key="k" * 20).json()
    assert (first["status"], first["progress"], len(first["results"])) == ("completed", 100, 1)
    assert first == again == api.read(first["id"])
    assert api.control.state()["credits"]["charged"] == first["usage"]["credits_used"]


def test_creation_may_answer_failed(api):
    """A generation that fails may do so at once, and costs nothing."""
    api.control.set_variants(created_status="completed")
    api.control.inject("moderation_rejected")
    assert api.post().json()["error"]["code"] == "content_policy_violation"
    assert api.control.state()["credits"]["charged"] == 0


@pytest.mark.parametrize(
    ("fault", "charge", "refund"),
    [(None, "charged", "not_required"), ("generation_failed", "released", "completed")],
)
def test_billing_follows_the_charge(api, fault, charge, refund):
    """`billing` says what was reserved, then what was charged or given back."""
    api.control.set_variants(billing=True)
    if fault:
        api.control.inject(fault)
    body = api.post().json()
    assert body["billing"]["charge_status"] == "reserved"
    api.finish()
    billing = api.read(body["id"])["billing"]
    assert (billing["charge_status"], billing["refund_status"]) == (charge, refund)
    assert billing["charged_credits"] == api.control.state()["generations"][0]["charged"]


def test_cost_in_three_currencies(api):
    """`usage.cost` has the charge in credits, dollars and yuan, at the rates that EvoLink's clients use."""
    api.control.set_variants(cost=True)
    generation_id = api.submit("image", model="gpt-image-2")
    api.finish()
    assert api.read(generation_id)["usage"] == {
        "credits_used": 2.5,
        "cost": {"credits": 2.5, "usd": 0.0368, "cny": 0.25},
    }


def test_an_unlimited_key(api):
    """The remaining credits of an unlimited API key mean nothing; the account's count."""
    api.control.set_variants(unlimited_credits=True)
    data = api.http.get("/v1/credits").json()["data"]
    assert (data["token"]["unlimited_credits"], data["token"]["remaining_credits"]) == (True, 0)
    assert data["user"]["remaining_credits"] == 1000


def test_a_charge_may_exceed_its_reservation(api):
    """A charge above the reservation comes out of the balance, and nothing is released."""
    api.control.set_variants(charge_factor=2)
    generation_id = api.submit("image", model="gpt-image-2")
    api.finish()
    assert api.read(generation_id)["usage"]["credits_used"] == 5
    assert api.control.state()["credits"] == {"balance": 995, "reserved": 0, "charged": 5, "released": 0}


def test_variants_last_until_a_reset(api):
    """Variants that are not given stay as they are; a reset restores the usual ones."""
    api.control.set_variants(billing=True)
    api.control.set_variants(cost=True)
    assert api.control.state()["variants"] == {
        "created_status": None, "billing": True, "cost": True, "unlimited_credits": False, "charge_factor": 1.0,
    }  # fmt: skip
    api.control.reset()
    assert api.control.state()["variants"]["billing"] is False


@pytest.mark.parametrize(
    "variants",
    [{"billing": 1}, {"created_status": "failed"}, {"charge_factor": -1}, {"charge_factor": True}, {"other": True}],
)
def test_unknown_variants_are_refused(api, variants):
    """A variant that does not exist, or a value that it cannot have, is refused with what is allowed."""
    with pytest.raises(ControlError, match="is invalid: must"):
        api.control.set_variants(**variants)
