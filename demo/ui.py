# SPDX-License-Identifier: Apache-2.0
"""``make ui``: the demo, and Airflow's UI stays up."""

from __future__ import annotations

import sys
from urllib.parse import quote

from demo.attempt import attempt
from demo.screen import Screen
from demo.session import DAG_ID, Session, make_video, running
from demo.summary import summary


def main() -> int:
    """Run until Ctrl-C, and return the exit code."""
    return attempt(_ui)


def _ui(screen: Screen, key: str | None) -> None:
    with running(screen, key) as session:
        made = make_video(session, screen)
        screen.close()
        screen.facts(summary(session, made))
        screen.say(_invitation(session, made.run_id))
        try:
            session.stack.wait_forever()
        except KeyboardInterrupt:
            screen.say("Stopping …")
    screen.say("Everything was stopped again.")


def _invitation(session: Session, run_id: str) -> str:
    url = session.stack.url
    return f"""
Airflow's UI is at {url} (you are logged in)
This run:          {url}/dags/{DAG_ID}/runs/{quote(run_id, safe="")}
EvoLink:           {session.evolink.name}
Stop with Ctrl-C; everything ends with it."""


if __name__ == "__main__":
    sys.exit(main())
