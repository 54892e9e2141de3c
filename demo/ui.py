# SPDX-License-Identifier: Apache-2.0
"""``make ui``: the demo, then Airflow's UI until Ctrl-C; with the emulator, also a gallery and a video to approve."""

from __future__ import annotations

import sys
from urllib.parse import quote

from airflow_provider_evolink.links.addresses import gallery_tab, video_tab
from demo.command import run_command
from demo.screen import Screen
from demo.session import Session, running
from demo.showcase import GALLERY_DAG, REVIEW_DAG, Showcase, prepare_showcase
from demo.summary import summary
from demo.video import DAG_ID, generate_video


def main() -> int:
    """Run until Ctrl-C, and return the exit code."""
    return run_command(_ui)


def _ui(screen: Screen, key: str | None) -> None:
    with running(screen, key, DAG_ID) as session:
        video = generate_video(session, screen)
        facts = summary(session, video)
        _unpause_manual_dags(session)
        # These would cost hundreds of credits of a real account.
        showcase = prepare_showcase(session, screen) if session.evolink.is_emulated else None
        screen.close()
        screen.facts(facts)
        screen.print(_addresses(session, video.run_id, showcase))
        try:
            session.stack.wait_forever()
        except KeyboardInterrupt:
            screen.print("Stopping ...")
    screen.print("Everything is stopped.")


def _unpause_manual_dags(session: Session) -> None:
    """Make every example ready to be triggered; those with a schedule stay paused, so that nothing runs by itself."""
    for dag_id in session.stack.api.manual_dags():
        session.stack.api.unpause(dag_id)


def _addresses(session: Session, run_id: str, showcase: Showcase | None) -> str:
    url = session.stack.url
    return f"""
Airflow UI   {url} (no login needed)
This run     {url}/dags/{DAG_ID}/runs/{quote(run_id, safe="")}
Watch        {url}/{video_tab(DAG_ID, run_id, "land")}{_showcase_addresses(url, showcase)}
Connections  {url}/connections
EvoLink      {session.evolink.name}
Trigger any DAG that is not paused; nothing runs by itself.
Press Ctrl-C to stop everything."""


def _showcase_addresses(url: str, showcase: Showcase | None) -> str:
    if showcase is None:
        return ""
    review = quote(showcase.review_run, safe="")
    return f"""
Gallery      {url}/{gallery_tab(GALLERY_DAG, showcase.gallery_run)}
Approve      {url}/dags/{REVIEW_DAG}/runs/{review}/tasks/approve/required_actions"""


if __name__ == "__main__":
    sys.exit(main())
