# SPDX-License-Identifier: Apache-2.0
"""
Copies a result into storage the user owns, before its link dies.

A result goes from its link (:mod:`source`, :mod:`resume`, :mod:`download`) into a spool that has no name, is
judged there (:mod:`kinds`), and gets its final name (:mod:`names`) in one step when it is whole
(:mod:`storage`). :mod:`land` is the whole way, :mod:`notes` what a retry need not go again, and :mod:`several`
what one failure means for the other results.
Nothing here imports Airflow, but for reading a destination.
"""
