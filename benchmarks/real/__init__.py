# SPDX-License-Identifier: Apache-2.0
"""A real triggerer on PostgreSQL with thousands of deferred tasks: ``make bench-airflow``."""
