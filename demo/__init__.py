# SPDX-License-Identifier: Apache-2.0
"""A real Airflow with the provider, started from nothing and shut down again: for the demo, the UI and the tests."""
