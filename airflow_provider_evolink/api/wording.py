# SPDX-License-Identifier: Apache-2.0
"""Write counts and values into sentences. Pure."""

from __future__ import annotations

import math
import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def shorten(value: object) -> str:
    """Return the repr of a value for an error, shortened however large or deeply nested the value is."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python refuses to print an integer of more than 4,300 digits.
        return f"<{type(value).__name__} too large to print>"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "2,000 rows"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def have(count: int) -> str:
    """Return "has" or "have"."""
    return "has" if count == 1 else "have"


def are(count: int) -> str:
    """Return "is" or "are"."""
    return "is" if count == 1 else "are"


def were(count: int) -> str:
    """Return "was" or "were"."""
    return "was" if count == 1 else "were"


def how_to_define(conn_id: str) -> str:
    """Return a sentence on where Airflow takes a connection from."""
    return (
        f"Define it in Airflow's UI (Admin, Connections), by `airflow connections add {conn_id}`, in the environment "
        f"variable AIRFLOW_CONN_{conn_id.upper()}, or in a secrets backend that this process reads."
    )


def megabytes(size: int) -> str:
    """Return a size in bytes as "200 MB", rounded up, so that what exceeds a limit never reads like the limit."""
    return f"{math.ceil(size / 2**20 * 10) / 10:,.10g} MB"
