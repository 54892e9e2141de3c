# SPDX-License-Identifier: Apache-2.0
"""Startup settings of an emulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_API_KEY = "sk-emulator-0123456789abcdef"


@dataclass(frozen=True)
class Settings:
    """How an emulator starts, and what a reset returns to.

    :param clock: speed of emulated time, in emulated seconds per real second.
    :param api_keys: the API keys it accepts; all belong to one account.
    :param credits: initial balance of the account.
    :param denied_models: models that the account has no access to.
    :param media_dir: directory that keeps a copy of every rendered file; None keeps files in memory only.
    :param query_limit: status queries allowed per API key and emulated minute; None for no limit.
    :param seed: makes ids, link secrets and probabilistic faults reproducible; None for random ones.
    """

    clock: float = 1.0
    api_keys: tuple[str, ...] = (DEFAULT_API_KEY,)
    credits: float = 1000.0
    denied_models: frozenset[str] = frozenset()
    media_dir: Path | None = None
    query_limit: int | None = None
    seed: int | None = None
