# SPDX-License-Identifier: Apache-2.0
"""Failpoints on the path of a batch of :data:`ROWS` rows.

Those around a write of the ledger are at the wave with the last row of the table. It is the only wave if all rows may
be in flight, and the second one if :data:`FEWER` may: then rows of the first have ended, and are about to be landed.
"""

from __future__ import annotations

from functools import partial

from tests.crash.failpoints import HELD_SECONDS, LOST_SECONDS, Failpoint, Fault

ROWS, FEWER = 6, 4
_batch = partial(Failpoint, dag="crash_batch", task="batch")
_SECOND_WAVE = {"max_in_flight": FEWER}

BEFORE_INTENTS = _batch("before a wave's intents", "before-intents", needs_end=True, arguments=_SECOND_WAVE)
BEFORE_POSTS = _batch("intents, before the POSTs", "after-intents")
# Of six POSTs, two are accepted and their responses lost, two are not accepted yet, and two get their responses.
AMID_POSTS = _batch(
    "some POSTs accepted",
    "after-intents",
    faults=(
        Fault("slow_response", "submit", "seconds", LOST_SECONDS, times=2),
        Fault("slow_acceptance", "submit", "seconds", HELD_SECONDS, times=2, after=2),
    ),
)
BEFORE_IDS = _batch("POSTs accepted, before the ids", "before-ids", needs_end=True, arguments=_SECOND_WAVE)
SOME_ENDED = _batch("deferred, some ended", "waiting", some_end=True, on_worker=False)
EVENT = _batch("the batch's event fires", "event", needs_end=True, on_worker=False)
# Of six downloads, one is cut off in the middle, two are not answered yet, and three land.
LANDING = _batch(
    "some files landed",
    "resumed",
    faults=(
        Fault("truncated_media", "media", "fraction", 0.5),
        Fault("slow_response", "media", "seconds", HELD_SECONDS, times=2),
    ),
    needs_end=True,
)
LANDED = _batch("landed, before the manifest", "landed", needs_end=True)
REPLACING = _batch("the manifest is replaced", "before-replacement", needs_end=True)

BATCH_FAILPOINTS = (
    BEFORE_INTENTS,
    BEFORE_POSTS,
    AMID_POSTS,
    BEFORE_IDS,
    SOME_ENDED,
    EVENT,
    LANDING,
    LANDED,
    REPLACING,
)
