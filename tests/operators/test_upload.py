# SPDX-License-Identifier: Apache-2.0
"""The operator that uploads files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_evolink.api.errors import ServerError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.upload import EvoLinkUploadOperator
from airflow_provider_evolink.types import UploadRecord
from tests.task_harness import TaskHarness
from tests.test_types import problems

DATA = Path(__file__).parent.parent / "data"
pytestmark = pytest.mark.usefixtures("no_pauses")


def test_one_file(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A file gives its link, id, size, hash and source, as JSON."""
    source = str(DATA / "frame.png")
    uploaded = EvoLinkUploadOperator(task_id="task", source=source).execute(harness.context)

    assert json.loads(json.dumps(uploaded)) == uploaded
    assert isinstance(uploaded, dict)
    assert list(problems(uploaded, UploadRecord)) == []
    [stored] = emulator.control.state()["uploads"]
    assert (uploaded["file_id"], uploaded["source"]) == (stored["file_id"], source)
    assert uploaded["expires_at"].endswith("+00:00")


def test_a_list(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A list of files gives a list, in the same order; an empty one gives an empty one."""
    names = ["frame.png", "frame.jpg", "frame.gif"]
    sources = [str(DATA / name) for name in names]
    uploaded = EvoLinkUploadOperator(task_id="task", source=sources).execute(harness.context)

    assert [file["source"] for file in uploaded] == sources
    assert [file["content_type"] for file in uploaded] == ["image/png", "image/jpeg", "image/gif"]
    assert EvoLinkUploadOperator(task_id="task", source=[]).execute(harness.context) == []


def test_a_retry_uploads_again(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A transient failure fails the try as it is; a retry uploads again, at no cost."""
    operator = EvoLinkUploadOperator(task_id="task", source=str(DATA / "frame.png"))
    emulator.control.inject("server_error", on="upload", times=4)
    with pytest.raises(ServerError, match="free"):
        operator.execute(harness.context)

    first, second = (operator.execute(harness.context) for _ in range(2))

    assert first["link"] != second["link"]  # type: ignore[call-overload,index]
    assert emulator.control.state()["generations"] == []


def test_a_refusal_ends_the_retries(emulator: EmulatorHandle, harness: TaskHarness) -> None:
    """A file that is missing, and one that EvoLink rejects, fail the task for good."""
    for source in (str(DATA / "none.png"), str(DATA / "frame.png")):
        emulator.control.inject("http_error", on="upload", status=413)
        with pytest.raises(EvoLinkFailException):
            EvoLinkUploadOperator(task_id="task", source=source).execute(harness.context)
