# SPDX-License-Identifier: Apache-2.0
"""Tests that `airflow evolink models` shows what the catalog has, in every format of Airflow's."""

from __future__ import annotations

import json

import pytest
import yaml

from airflow_provider_evolink.api import catalog
from tests.cli.conftest import Run


def test_all_models_are_listed(run_command: Run) -> None:
    """Every model of the catalog is a row."""
    ran = run_command("models", "--output", "json")

    assert (ran.code, ran.err) == (0, "")
    assert [row["model"] for row in json.loads(ran.out)] == list(catalog.names())


@pytest.mark.parametrize("media", ["video", "image", "audio"])
def test_models_of_a_kind(run_command: Run, media: str) -> None:
    """`--media` leaves the others out."""
    rows = json.loads(run_command("models", "--media", media, "-o", "json").out)

    endpoint = f"/v1/{media}s/generations"
    assert [row["model"] for row in rows] == [
        name for name in catalog.names() if catalog.endpoint_for(name) == endpoint
    ]


def test_one_model(run_command: Run) -> None:
    """Its parameters are listed with what they allow, nested ones too."""
    [row] = json.loads(run_command("models", "kling-v3-image-to-video", "-o", "json").out)
    parameters = {each["parameter"]: each for each in row["parameters"]}

    assert (row["media"], row["link_hours"]) == ("video", 24)
    assert isinstance(row["media_parameters"], list)
    assert "image_start" in row["media_parameters"]
    assert "image_start" in row["required"]
    assert ", ".join(row["required"]) in run_command("models", "kling-v3-image-to-video", "-o", "plain").out
    assert parameters["duration"] == {
        "parameter": "duration", "required": False, "allowed": "an integer from 3 to 15", "default": 5,
    }  # fmt: skip
    assert "model_params.multi_prompt[].prompt" in parameters


def test_every_model_can_be_described(run_command: Run) -> None:
    """No schema in the catalog is beyond words."""
    from airflow_provider_evolink.cli.models import described

    for name in catalog.names():
        model = catalog.find(name)
        assert model is not None
        assert all(row["allowed"] for row in described(model.schema))


def test_the_formats(run_command: Run) -> None:
    """YAML, plain text and a table show the same parameters."""
    [row] = yaml.safe_load(run_command("models", "z-image-turbo", "-o", "yaml").out)

    for output in ("table", "plain"):
        out = run_command("models", "z-image-turbo", "-o", output).out
        assert [each["parameter"] for each in row["parameters"] if each["parameter"] not in out] == []


def test_values_keep_their_types(run_command: Run) -> None:
    """JSON has truth values, numbers and null; a table has words, and nothing where there is none."""
    [row] = json.loads(run_command("models", "kling-v3-image-to-video", "-o", "json").out)

    assert row["note"] is None
    assert {each["parameter"]: each["required"] for each in row["parameters"]}["image_start"] is True
    assert {type(each["required"]) for each in row["parameters"]} == {bool}
    out = run_command("models", "kling-v3-image-to-video").out
    assert not {"None", "True", "null"} & set(out.replace("|", " ").split())
    assert "yes" in out


def test_a_misspelt_name(run_command: Run) -> None:
    """One line says what was probably meant."""
    ran = run_command("models", "kling-v3-image-to-vido")

    assert (ran.code, ran.out) == (1, "")
    assert "'kling-v3-image-to-video'" in ran.err
    assert ran.err.count("\n") == 1
