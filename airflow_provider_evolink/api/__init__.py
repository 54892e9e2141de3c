# SPDX-License-Identifier: Apache-2.0
"""EvoLink over HTTP: its endpoints, models, limits and errors. Imports no Airflow."""
