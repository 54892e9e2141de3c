# SPDX-License-Identifier: Apache-2.0
"""What only Airflow's UI can show: a gallery of many videos, and one that waits for a person's approval."""

from __future__ import annotations

from dataclasses import dataclass, replace

from demo.screen import Screen
from demo.session import LANDED, RUN_TIMEOUT, Session, follow_task

GALLERY_DAG = "evolink_fan_out"
REVIEW_DAG = "evolink_content_review"
_SCENES = ("beach", "harbor", "forest", "desert", "city street", "garden")
_LIGHTS = ("at dawn", "in the rain")


@dataclass(frozen=True)
class Showcase:
    """Runs to look at.

    :param gallery_run: id of the run that made many videos.
    :param review_run: id of the run that waits for approval.
    """

    gallery_run: str
    review_run: str


def prepare_showcase(session: Session, screen: Screen) -> Showcase:
    """Make twelve videos in one run, and another that is ready to be approved.

    :raises DemoError: a task failed; the text ends with the last lines of its log.
    """
    api, stack = session.stack.api, session.stack
    prompts = [f"A {scene} {light}. No dialogue." for scene in _SCENES for light in _LIGHTS]
    gallery_run = api.trigger(GALLERY_DAG, {"prompts": prompts, "destination": LANDED.as_uri()})
    review_run = api.trigger(REVIEW_DAG, {"destination": LANDED.as_uri()})
    follow_task(replace(session, dag_id=REVIEW_DAG), screen, review_run, "land", "A video to approve")
    with screen.step("A gallery of twelve"):
        stack.wait_for_run(GALLERY_DAG, gallery_run, RUN_TIMEOUT)
    with screen.step("The question"):
        stack.wait_until("the approval", lambda: _is_asked(session, review_run), RUN_TIMEOUT)
    return Showcase(gallery_run, review_run)


def _is_asked(session: Session, run_id: str) -> bool:
    return session.stack.api.task_states(REVIEW_DAG, run_id)["approve"] == "awaiting_input"
