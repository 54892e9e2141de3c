# SPDX-License-Identifier: Apache-2.0
"""Fault injection: which faults exist, which one fires, and what it does to a request."""
