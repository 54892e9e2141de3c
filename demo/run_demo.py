# SPDX-License-Identifier: Apache-2.0
"""``make demo``: a picture becomes a video, through a real Airflow."""

from __future__ import annotations

import sys

from demo.attempt import attempt
from demo.screen import Screen
from demo.session import make_video, running
from demo.summary import summary


def main() -> int:
    """Run the demo, and return the exit code."""
    return attempt(_demo)


def _demo(screen: Screen, key: str | None) -> None:
    with running(screen, key) as session:
        facts = summary(session, make_video(session, screen))
        screen.close()
        screen.facts(facts)
    screen.say("Everything was stopped again.")


if __name__ == "__main__":
    sys.exit(main())
