# SPDX-License-Identifier: Apache-2.0
"""Counts the hooks that an execution makes, and the connections that they look up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_evolink.hooks.evolink import EvoLinkHook


@dataclass
class HookUses:
    """The counts so far; they compare with those that a test expects."""

    hooks: int = 0
    lookups: int = 0


def count_hook_uses(monkeypatch: pytest.MonkeyPatch) -> HookUses:
    """Count from now on, to the end of the test; the hooks work as before."""
    uses = HookUses()
    make, lookup = EvoLinkHook.__init__, EvoLinkHook.get_connection

    def counted_init(self: EvoLinkHook, *args: Any, **kwargs: Any) -> None:
        uses.hooks += 1
        make(self, *args, **kwargs)

    def counted_lookup(conn_id: str) -> Any:
        uses.lookups += 1
        return lookup(conn_id)

    monkeypatch.setattr(EvoLinkHook, "__init__", counted_init)
    monkeypatch.setattr(EvoLinkHook, "get_connection", staticmethod(counted_lookup))
    return uses
