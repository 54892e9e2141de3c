# SPDX-License-Identifier: Apache-2.0
"""Tests of how files and generations are named, and of which inputs a request has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.naming.dataset import GCS, S3, LocalFileSystem

from airflow_provider_evolink.lineage.datasets import Dataset, file, generation
from airflow_provider_evolink.lineage.inputs import inputs_of

VIDEO = "gemini-omni-flash-image-to-video"
RECORD = {"generation_id": "task-unified-1", "results": ["https://x.test/a.png"], "status": "completed"}
ENTRY = {"uri": "s3://shop/a #1.png", "sha256": "00"}
CASES = [
    ("s3://my_conn@shop/pictures/größe #1.png", S3("shop", "pictures/größe #1.png")),
    ("s3a://shop/a.png", S3("shop", "a.png")),
    ("gcs://conn@shop/a.png", GCS("shop", "a.png")),
    ("file:///data/a b.png", LocalFileSystem("/data/a b.png")),
    ("/data/a.png", LocalFileSystem("/data/a.png")),
    ("~/a.png", LocalFileSystem(str(Path.home() / "a.png"))),
]


@pytest.mark.parametrize(("location", "expected"), CASES, ids=[location for location, _ in CASES])
def test_files_are_named_as_openlineage_does(location: str, expected: Any) -> None:
    """A file has the namespace and the name of OpenLineage's naming specification, without a connection id."""
    assert file(location) == (expected.get_namespace(), expected.get_name())


@given(st.text())
def test_any_text_has_a_name(text: str) -> None:
    """Whatever a task was given, naming it does not fail, and no connection id gets into the namespace."""
    assert "@" not in file(f"s3://conn@{text}").namespace or "@" in text
    assert all(file(text))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"image_urls": ["s3://conn@shop/a.png", "/data/b.png"]}, [("s3://shop", "a.png"), ("file", "/data/b.png")]),
        ({"image_urls": [ObjectStoragePath("file:///data/a.png")]}, [("file", "/data/a.png")]),
        ({"image_urls": [Path("/data/a.png")]}, [("file", "/data/a.png")]),
        ({"image_urls": ENTRY}, [("s3://shop", "a #1.png")]),
        ({"image_urls": {**RECORD, "landed": [ENTRY]}}, [("s3://shop", "a #1.png")]),
        ({"image_urls": RECORD}, [generation("task-unified-1")]),
        ({"image_urls": ["/data/a.png"] * 2}, [("file", "/data/a.png")]),
        ({"image_urls": ["https://x.test/a.png?token=secret", "data:image/png;base64,AAAA"]}, []),
        ({"prompt": "/data/a.png", "image_urls": None}, []),
        ({}, []),
    ],
)
def test_inputs(parameters: dict[str, Any], expected: list[Dataset]) -> None:
    """Stored files and earlier generations are inputs, each once; links and data, which may hold a secret, are not."""
    assert inputs_of(VIDEO, parameters) == expected


def test_inputs_of_every_form_of_image() -> None:
    """Models that take a first and a last frame, and models that nobody knows, have inputs too."""
    frames = {"image_start": "/data/a.png", "image_end": "/data/b.png"}

    assert set(inputs_of("kling-v3-image-to-video", frames)) == {file("/data/a.png"), file("/data/b.png")}
    assert inputs_of("a-model-of-tomorrow", {"image_urls": ["/data/a.png"]}) == [file("/data/a.png")]
