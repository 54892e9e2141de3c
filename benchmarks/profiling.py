# SPDX-License-Identifier: Apache-2.0
"""Shows where the time goes, on demand: ``EVOLINK_BENCHMARK_PROFILE=file`` writes a profile for ``pstats``."""

from __future__ import annotations

import cProfile
import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "EVOLINK_BENCHMARK_PROFILE"


@contextmanager
def profiled() -> Iterator[None]:
    """Profile the block if that is requested, which halves its speed."""
    file = os.environ.get(VARIABLE)
    if not file:
        yield
        return
    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        profile.dump_stats(file)
