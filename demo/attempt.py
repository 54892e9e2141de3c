# SPDX-License-Identifier: Apache-2.0
"""How a command of the demo begins and ends, whatever happens in between."""

from __future__ import annotations

import sys
from collections.abc import Callable

import httpx

from demo.errors import DemoError, NotStartedError
from demo.evolink import wanted_key
from demo.interrupts import interrupts
from demo.screen import Screen

FAILED = 1
INTERRUPTED = 130


def attempt(command: Callable[[Screen, str | None], None]) -> int:
    """Run a command, and tell the person how it ended.

    :param command: takes the screen, and the API key of the real EvoLink or None.
    :return: exit code.
    """
    try:
        key = wanted_key()
        interrupts.install()
        with Screen() as screen:
            command(screen, key)
    except NotStartedError as error:
        return _ended(FAILED, str(error))
    except DemoError as error:
        return _ended(FAILED, f"{error}\nEverything was stopped.")
    except httpx.HTTPError as error:
        return _ended(FAILED, f"Airflow did not answer as it should: {error}\nEverything was stopped.")
    except KeyboardInterrupt:
        return _ended(INTERRUPTED, "Interrupted. Everything was stopped.")
    return 0


def _ended(code: int, text: str) -> int:
    print(f"\n{text}", file=sys.stderr)
    return code
