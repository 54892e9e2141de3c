# SPDX-License-Identifier: Apache-2.0
"""Credits: nothing is charged twice, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.emulator.accounts import Account, InsufficientCreditsError
from airflow_provider_evolink.emulator.server import running
from airflow_provider_evolink.emulator.settings import Settings

amounts = st.floats(0, 500).map(lambda value: round(value, 2))


@given(st.lists(st.tuples(amounts, st.sampled_from([0.0, 0.5, 1.0, None]))))
def test_credits_are_conserved(orders):
    """Whatever is reserved, charged and released: balance, reserved and charged add up to the start."""
    account = Account(1000)
    for number, (amount, used) in enumerate(orders):
        if amount > account.balance:
            with pytest.raises(InsufficientCreditsError):
                account.reserve(str(number), amount)
            continue
        account.reserve(str(number), amount)
        if used is not None:
            account.settle(str(number), amount * used)
        assert account.balance + account.reserved + account.charged == pytest.approx(1000, abs=0.01)


def test_delivery_is_charged_once_and_the_rest_released(api):
    """Credits are reserved at submission; completion charges what was used, once, and releases the rest."""
    generation_id = api.submit(duration=10)
    assert api.control.state()["credits"] == {"balance": 897.66, "reserved": 102.34, "charged": 0, "released": 0}
    api.finish()
    used = api.read(generation_id)["usage"]["credits_used"]
    api.read(generation_id)
    state = api.control.state()
    assert state["credits"]["charged"] == used == state["generations"][0]["charged"]
    assert state["credits"]["balance"] == pytest.approx(1000 - used)
    assert state["credits"]["reserved"] == 0


@pytest.mark.parametrize("fault", ["moderation", "cancelled", "task_failure"])
def test_what_is_not_delivered_is_released(api, fault):
    """A generation that fails or is cancelled gives all its credits back."""
    api.control.inject(fault)
    api.submit()
    api.finish()
    assert api.control.state()["credits"] == {"balance": 1000, "reserved": 0, "charged": 0, "released": 102.34}


def test_open_duration_is_reserved_at_its_longest(api):
    """An open duration reserves for 10 s, and is charged for the 5 s that it makes."""
    assert api.post(duration="auto").json()["usage"]["credits_reserved"] == 102.34
    api.finish()
    assert api.control.state()["credits"]["charged"] == pytest.approx(49.63)


def test_too_few_credits_are_refused_and_nothing_is_reserved(api):
    """A submission that the balance cannot cover gets the documented 402; topping up helps."""
    api.control.add_credits(-950)
    response = api.post()
    assert (response.status_code, response.json()["error"]["code"]) == (402, "insufficient_quota")
    assert api.control.state()["credits"] == {"balance": 50, "reserved": 0, "charged": 0, "released": 0}
    api.control.add_credits(100)
    assert api.post().status_code == 200


def test_models_can_be_denied(api):
    """A denied model gets 403 model_access_denied, and is not listed."""
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
