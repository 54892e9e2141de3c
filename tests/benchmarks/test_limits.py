# SPDX-License-Identifier: Apache-2.0
"""The measurement of waiting under a rate limit, on a small scale."""

from benchmarks.limits import Delays, table, with_batches, without_batches


def test_every_end_is_noticed_and_counted() -> None:
    """With and without batches, accelerated so that it ends within seconds."""
    for row in (with_batches(8, 40.0), without_batches(4, 40.0)):
        assert len(row.delays) in {8, 4}
        assert all(-0.1 < delay < 15 for delay in row.delays)
        assert row.accepted >= len(row.delays) / 50
        assert row.seconds > 120 / 40 * 0.9


def test_a_row_summarizes_delays() -> None:
    """A row holds mean, 99th percentile, maximum and totals."""
    row = Delays("3 with batches", [1.0, 2.0, 6.0], 100.0, 50, 2)

    assert table([row]).splitlines()[-1] == "| 3 with batches | 3.0 | 2.0 | 6.0 | 100.0 | 50 | 2 |"
