# SPDX-License-Identifier: Apache-2.0
"""What a person sees in Airflow's UI: tabs with landed videos, and the app that serves them."""
