# SPDX-License-Identifier: Apache-2.0
"""Operators that carry results elsewhere."""
