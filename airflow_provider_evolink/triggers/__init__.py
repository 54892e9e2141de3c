# SPDX-License-Identifier: Apache-2.0
"""The trigger: polls a generation in the triggerer."""
