# SPDX-License-Identifier: Apache-2.0
"""``make demo``, ``make demo-batch`` and ``make ui``: videos through a real Airflow; one also from the real EvoLink."""
