# SPDX-License-Identifier: Apache-2.0
"""EvoLink itself: its endpoints, models, limits and failures. Nothing in here imports Airflow."""
