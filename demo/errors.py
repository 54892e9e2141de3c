# SPDX-License-Identifier: Apache-2.0
"""What can end a demo early, worded for the person at the terminal."""

from __future__ import annotations


class DemoError(Exception):
    """The demo can't go on."""


class NotStartedError(DemoError):
    """The demo was refused before anything was started."""
