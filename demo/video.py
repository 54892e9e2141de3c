# SPDX-License-Identifier: Apache-2.0
"""One image that becomes one video."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from demo.evolink import Progress
from demo.screen import Screen, Step
from demo.session import LANDED, Session, follow_task

DAG_ID = "evolink_image_to_video"


@dataclass(frozen=True)
class Video:
    """A generated video.

    :param run_id: id of the DAG run.
    :param landed: what the transfer returned.
    :param record: what the operator returned.
    :param seconds: duration of the DAG run.
    """

    run_id: str
    landed: dict[str, Any]
    record: dict[str, Any]
    seconds: float


def generate_video(session: Session, screen: Screen) -> Video:
    """Run the DAG and show its progress.

    :raises DemoError: a task failed; the text ends with the last lines of its log.
    """
    started = time.monotonic()
    run_id = session.trigger({"destination": LANDED.as_uri()})
    with screen.step("Generation") as step:
        session.follow(run_id, "generate", lambda state: _show(step, state, _progress(session, run_id, state)))
    follow_task(session, screen, run_id, "land", "Landing")
    follow_task(session, screen, run_id, "publish", "Publication")
    session.stack.wait_for_run(DAG_ID, run_id)
    return Video(
        run_id=run_id,
        landed=session.xcom(run_id, "land")[0],
        record=session.xcom(run_id, "generate"),
        seconds=time.monotonic() - started,
    )


def _progress(session: Session, run_id: str, state: str) -> Progress | None:
    """Return the progress of the generation; None before the task has published the generation's id."""
    is_waiting = state in {"running", "deferred"}
    generation_id = session.xcom(run_id, "generate", key="generation_id") if is_waiting else None
    return session.evolink.progress(generation_id) if generation_id else None


def _show(step: Step, state: str, progress: Progress | None) -> None:
    if progress is None:
        step.note(state)
    else:
        step.percent(progress.percent)
        step.note(f"{state}: {progress.status}, {progress.percent:.0f} %")
