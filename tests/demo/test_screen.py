from __future__ import annotations

import pytest

from demo.screen import Screen


def test_plain_lines_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal each step that is done is one line."""
    with Screen() as screen, screen.step("Airflow") as step:
        step.note("starting")
        step.percent(50)
        step.note("up [at last]")
    assert capsys.readouterr().out == "Airflow: up [at last] (0 s)\n"


def test_a_step_that_fails_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    """An error within a step leaves no line that looks like success."""
    with pytest.raises(ValueError, match="broken"), Screen() as screen, screen.step("Airflow"):
        raise ValueError("broken")
    assert capsys.readouterr().out == ""


def test_facts_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """However long a value is, it stands on one line, to be copied."""
    Screen().facts({"Video": "x" * 500, "sha256": "y"})
    assert capsys.readouterr().out.splitlines() == [f"Video   {'x' * 500}", "sha256  y"]
