# SPDX-License-Identifier: Apache-2.0
"""``make demo``: turn an image into a video through a real Airflow."""

from __future__ import annotations

import sys

from demo.command import run_command
from demo.screen import Screen
from demo.session import running
from demo.summary import summary
from demo.video import DAG_ID, generate_video


def main() -> int:
    """Run the demo, and return the exit code."""
    return run_command(_demo)


def _demo(screen: Screen, key: str | None) -> None:
    with running(screen, key, DAG_ID) as session:
        facts = summary(session, generate_video(session, screen))
        screen.close()
        screen.facts(facts)
    screen.print("Everything is stopped.")


if __name__ == "__main__":
    sys.exit(main())
