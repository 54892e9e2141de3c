# SPDX-License-Identifier: Apache-2.0
"""Buttons on a task page."""
