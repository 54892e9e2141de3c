# SPDX-License-Identifier: Apache-2.0
"""What an emulator can be started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_KEY = "sk-emulator-0123456789abcdef"


@dataclass(frozen=True)
class Settings:
    """How an emulator starts, and starts anew after a reset.

    :param clock: emulated seconds that pass in one second.
    :param keys: the API keys it takes; all belong to one account.
    :param credits: what the account starts with.
    :param denied_models: models that the account has no access to.
    :param media_dir: where rendered files are kept too, for people to look at; None keeps them in memory only.
    :param query_limit: requests about generations that each key may send in an emulated minute; None for no limit.
    :param seed: makes ids, link secrets and the chances of faults repeatable; None for fresh ones.
    """

    clock: float = 1.0
    keys: tuple[str, ...] = (DEFAULT_KEY,)
    credits: float = 1000.0
    denied_models: frozenset[str] = frozenset()
    media_dir: Path | None = None
    query_limit: int | None = None
    seed: int | None = None
