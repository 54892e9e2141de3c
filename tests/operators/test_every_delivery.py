# SPDX-License-Identifier: Apache-2.0
"""Whatever form a model's delivery has: the operator lands all of its files, and so does the transfer, from an id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from tests.operators.landings import LandingHarness

PICTURE = "https://example.com/a.png"
SONG = {"prompt": "A shanty", "custom_mode": True, "title": "Foghorn", "style": "shanty"}
VOICE = {"preferred_name": "narrator"}
DESIGN = {**VOICE, "voice_prompt": "calm", "preview_text": "Good evening, and welcome."}
CLONE = {**VOICE, "audio_url": "https://example.com/a.mp3"}
VIDEO = {"prompt": "A lighthouse", "duration": 4}
# What lands, by extension, of each form of delivery.
DELIVERIES: list[tuple[str, dict[str, Any], dict[str, int]]] = [
    ("suno-v5-beta", SONG, {".mp3": 2, ".jpg": 2}),
    ("suno-v4", {"prompt": "A shanty"}, {".mp3": 2, ".jpg": 2}),
    ("mj-v7", {"prompt": "A lighthouse"}, {".png": 4}),
    ("mj-v8.2", {"prompt": "A lighthouse", "model_params": {"speed": "draft"}}, {".png": 24}),
    ("doubao-seedream-5.0-pro-layerize", {"image_urls": [PICTURE]}, {".jpg": 1, ".png": 3}),
    ("qwen3-tts-vd", {"prompt": "Good evening", "voice": "v"}, {".wav": 1}),
    ("qwen-audio-3.1-tts-flash", {"prompt": "Good evening", "format": "opus"}, {".ogg": 1}),
    ("doubao-seed-audio-1-0", {"prompt": "Waves", "format": "pcm"}, {".pcm": 1}),
    ("seedance-2.5-text-to-video", {**VIDEO, "output_format": "mov"}, {".mov": 1}),
    ("seedance-2.5-text-to-video", {**VIDEO, "generate_audio": False}, {".mp4": 1}),
    ("voice-enrollment", DESIGN, {".wav": 1}),
    ("voice-enrollment", CLONE, {}),
    ("gpt-image-2", {"prompt": "A lighthouse", "n": 2, "output_format": "webp"}, {".webp": 2}),
]


def extensions(folder: Path) -> dict[str, int]:
    """Count the files below a folder by extension."""
    names = sorted(path.suffix for path in folder.rglob("*") if path.is_file())
    return {name: names.count(name) for name in names}


def warnings(text: str) -> list[str]:
    """Return the warnings in what a task has logged, but for those about the test and about a withdrawn model."""
    expected = ("outside of the Task Runner", "has withdrawn")
    return [line for line in text.splitlines() if "[warning" in line and not any(map(line.count, expected))]


@pytest.fixture(autouse=True)
def fast(emulator: EmulatorHandle, quick: None) -> None:
    """Let a generation take a fraction of a second."""
    emulator.control.set_speed(3000)


@pytest.mark.parametrize(("model", "parameters", "landed"), DELIVERIES, ids=lambda value: str(value)[:30])
def test_all_files_of_a_generation_land(
    emulator: EmulatorHandle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    parameters: dict[str, Any],
    landed: dict[str, int],
) -> None:
    """Every file lands once with its right extension, by the task that generates and by the transfer."""
    generate = EvoLinkGenerateOperator(
        task_id="task", model=model, parameters=parameters, destination=str(tmp_path / "a"), poll_interval=0.05
    )
    record = LandingHarness().run(generate)
    transfer = EvoLinkToObjectStorageOperator(
        task_id="land", generation=record["generation_id"], destination=str(tmp_path / "b")
    )
    entries = LandingHarness().run(transfer)

    assert extensions(tmp_path / "a") == extensions(tmp_path / "b") == landed
    assert [entry["sha256"] for entry in entries] == [entry["sha256"] for entry in record["landed"]]
    assert warnings(capsys.readouterr().out) == []


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("status", ["processing", "completed"])
def test_a_generation_that_starts_differently_lands(
    emulator: EmulatorHandle, tmp_path: Path, status: str, deferrable: bool
) -> None:
    """A submission that is answered with processing, or with results at once, is paid for once and lands."""
    emulator.control.set_variants(created_status=status)
    generate = EvoLinkGenerateOperator(
        task_id="task",
        model="gpt-image-2",
        parameters={"prompt": "A lighthouse"},
        destination=str(tmp_path),
        poll_interval=0.05,
        deferrable=deferrable,
    )
    harness = LandingHarness()
    record = harness.run(generate)

    assert record["status"] == "completed"
    assert extensions(tmp_path) == {".png": 1}
    assert len(emulator.control.state()["generations"]) == 1


def test_credits_as_clients_read_them(emulator: EmulatorHandle, tmp_path: Path) -> None:
    """A charge above the reservation, shown in every form, ends up in the record as it is."""
    emulator.control.set_variants(billing=True, cost=True, unlimited_credits=True, charge_factor=2)
    generate = EvoLinkGenerateOperator(
        task_id="task", model="gpt-image-2", parameters={"prompt": "A lighthouse"}, poll_interval=0.05
    )
    record = LandingHarness().run(generate)

    assert record["usage"]["credits_used"] == 5
    assert record["usage"]["credits_reserved"] == 2.5
