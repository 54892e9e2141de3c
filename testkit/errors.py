# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a service, worded for the person at the terminal."""

from __future__ import annotations


class ServiceError(Exception):
    """A service is missing, did not start, died or did not get ready in time."""
