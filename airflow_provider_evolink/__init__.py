# SPDX-License-Identifier: Apache-2.0
"""Paid, asynchronous AI media generation through EvoLink as a dependable step of an Airflow pipeline."""

__version__ = "0.1.0"
