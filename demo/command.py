# SPDX-License-Identifier: Apache-2.0
"""How a command of the demo starts and ends, whatever happens in between."""

from __future__ import annotations

import sys
from collections.abc import Callable

import httpx

from demo.errors import DemoError, NotStartedError
from demo.evolink import requested_key
from demo.screen import Screen
from testkit.errors import ServiceError
from testkit.interrupts import interrupts

FAILED = 1
INTERRUPTED = 130


def run_command(command: Callable[[Screen, str | None], None], *, is_emulated: bool = False) -> int:
    """Run a command, and print how it ended if it did not succeed.

    :param command: called with the screen, and with the API key of the real EvoLink or None.
    :param is_emulated: whether there is never an API key, so that nothing can be charged.
    :return: exit code.
    """
    try:
        key = None if is_emulated else requested_key()
        interrupts.install()
        with Screen() as screen:
            command(screen, key)
    except NotStartedError as error:
        return _exit_code(FAILED, str(error))
    except (DemoError, ServiceError) as error:
        return _exit_code(FAILED, f"{error}\nEverything is stopped.")
    except httpx.HTTPError as error:
        return _exit_code(FAILED, f"Unexpected response from Airflow: {error}\nEverything is stopped.")
    except KeyboardInterrupt:
        return _exit_code(INTERRUPTED, "Interrupted. Everything is stopped.")
    return 0


def _exit_code(code: int, text: str) -> int:
    print(f"\n{text}", file=sys.stderr)
    return code
