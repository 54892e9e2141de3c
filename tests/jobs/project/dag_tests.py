# SPDX-License-Identifier: Apache-2.0
"""Tests of a user's own DAGs, with nothing but pytest, Airflow and the fixture of the package."""

from shutil import copytree

import pytest
from budget import dag as budget
from first_and_last_frame import dag as first_and_last_frame


@pytest.fixture
def control(evolink_emulator, monkeypatch, tmp_path):
    copytree("media", tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", evolink_emulator.airflow_connection)
    monkeypatch.setenv("AIRFLOW_VAR_MEDIA", str(tmp_path))
    return evolink_emulator.control


def test_a_rejected_picture_is_not_charged(control):
    control.inject("moderation_rejected")

    assert first_and_last_frame.test().state == "failed"

    assert control.state()["credits"]["charged"] == 0


def test_a_lost_response_is_paid_for_once(control, tmp_path):
    control.inject("lost_response", on="submit")

    assert first_and_last_frame.test().state == "success"

    assert len(control.state()["generations"]) == 1
    assert list(tmp_path.glob("bloom/*/0.mp4"))


def test_the_budget_holds(control):
    control.add_credits(1000)

    assert budget.test().state == "failed"

    assert control.state()["credits"]["charged"] <= 500
