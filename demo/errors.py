# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, in words for the person at the terminal."""

from __future__ import annotations


class DemoError(Exception):
    """It can't go on."""


class NotStartedError(DemoError):
    """It was not even begun."""
