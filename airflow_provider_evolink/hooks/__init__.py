# SPDX-License-Identifier: Apache-2.0
"""The hook: an EvoLink account as an Airflow connection."""
