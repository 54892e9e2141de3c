# SPDX-License-Identifier: Apache-2.0
"""Measures what the provider costs: import time, waiting, pacing and landing."""
