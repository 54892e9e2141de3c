# SPDX-License-Identifier: Apache-2.0
"""The terminal output of a demo."""

from __future__ import annotations

import pytest

from demo.screen import Screen


def test_without_a_terminal_lines_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal each completed step prints one line."""
    with Screen() as screen, screen.step("Airflow") as step:
        step.note("starting")
        step.percent(50)
        step.note("up [at last]")
    assert capsys.readouterr().out == "Airflow: up [at last] (0 s)\n"


def test_a_failed_step_is_not_reported_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception within a step leaves no line that looks like success."""
    with pytest.raises(ValueError, match="broken"), Screen() as screen, screen.step("Airflow"):
        raise ValueError("broken")
    assert capsys.readouterr().out == ""


def test_facts_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    """A value stays on one line however long it is, so that it can be copied."""
    Screen().facts({"Video": "x" * 500, "sha256": "y"})
    assert capsys.readouterr().out.splitlines() == [f"Video   {'x' * 500}", "sha256  y"]
