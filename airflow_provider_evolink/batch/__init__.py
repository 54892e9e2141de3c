# SPDX-License-Identifier: Apache-2.0
"""Many generations in one task: one per row of a table, each paid once and landed under a name of its own.

Rows are processed in waves. The rows of a wave share one entry of the ledger, a chunk, which is written once with their
intents, before any of them is sent, and once with their ids (group commit). What a row may do is decided by the same
functions as for a task with a single generation. Runs without Airflow.
"""
