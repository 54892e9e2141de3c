# SPDX-License-Identifier: Apache-2.0
"""Credits: nothing is charged twice, and nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.emulator.server import running
from airflow_provider_evolink.emulator.settings import Settings
from airflow_provider_evolink.emulator.state.account import Account, InsufficientCreditsError

amounts = st.floats(0, 500).map(lambda value: round(value, 2))


@given(st.lists(st.tuples(amounts, st.sampled_from([0.0, 0.5, 1.0, None]))))
def test_credits_are_conserved(reservations):
    """Balance, reserved and charged credits always add up to the initial balance."""
    account = Account(1000)
    for number, (amount, used) in enumerate(reservations):
        if amount > account.balance:
            with pytest.raises(InsufficientCreditsError):
                account.reserve(str(number), amount)
            continue
        account.reserve(str(number), amount)
        if used is not None:
            account.settle(str(number), amount * used)
        assert account.balance + account.reserved + account.charged == pytest.approx(1000, abs=0.01)


def test_completion_charges_once_and_releases_the_rest(api):
    """Submission reserves credits; completion charges the used ones once and releases the rest."""
    generation_id = api.submit(duration=10)
    assert api.control.state()["credits"] == {"balance": 897.66, "reserved": 102.34, "charged": 0, "released": 0}
    api.finish()
    used = api.read(generation_id)["usage"]["credits_used"]
    api.read(generation_id)
    state = api.control.state()
    assert state["credits"]["charged"] == used == state["generations"][0]["charged"]
    assert state["credits"]["balance"] == pytest.approx(1000 - used)
    assert state["credits"]["reserved"] == 0


@pytest.mark.parametrize("fault", ["moderation_rejected", "generation_cancelled", "generation_failed"])
def test_a_generation_that_does_not_complete_costs_nothing(api, fault):
    """A failed or cancelled generation releases all its credits."""
    api.control.inject(fault)
    api.submit()
    api.finish()
    assert api.control.state()["credits"] == {"balance": 1000, "reserved": 0, "charged": 0, "released": 102.34}


def test_auto_duration_reserves_for_the_longest(api):
    """The duration `auto` reserves for 10 s and charges for the 5 s delivered."""
    assert api.post(duration="auto").json()["usage"]["credits_reserved"] == 102.34
    api.finish()
    assert api.control.state()["credits"]["charged"] == pytest.approx(49.63)


def test_insufficient_credits_are_rejected(api):
    """A submission beyond the balance gets the documented 402 and reserves nothing; a deposit makes it succeed."""
    api.control.add_credits(-950)
    response = api.post()
    assert (response.status_code, response.json()["error"]["code"]) == (402, "insufficient_quota")
    assert api.control.state()["credits"] == {"balance": 50, "reserved": 0, "charged": 0, "released": 0}
    api.control.add_credits(100)
    assert api.post().status_code == 200


def test_models_can_be_denied(api):
    """A denied model gets 403 with its name, and is not listed."""
    model = "gemini-omni-flash-text-to-video"
    with running(Settings(denied_models=frozenset({model}))) as emulator:
        headers = {"Authorization": f"Bearer {emulator.api_key}"}
        body = {"model": model, "prompt": "a"}
        response = api.http.post(f"{emulator.url}/v1/videos/generations", json=body, headers=headers)
        listed = api.http.get(f"{emulator.url}/v1/models", headers=headers).json()["data"]
    assert response.status_code == 403
    assert response.json()["error"]["message"] == f"Token does not have access to model: {model}"
    assert model not in [entry["id"] for entry in listed]
    assert "gpt-image-2" in [entry["id"] for entry in listed]
