# SPDX-License-Identifier: Apache-2.0
"""The waiting in the triggerer."""
