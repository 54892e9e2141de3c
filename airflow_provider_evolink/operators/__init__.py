# SPDX-License-Identifier: Apache-2.0
"""Submitting and waiting."""
