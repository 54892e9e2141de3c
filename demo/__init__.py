# SPDX-License-Identifier: Apache-2.0
"""``make demo`` and ``make ui``: one video through a real Airflow, against the emulator or the real EvoLink."""
