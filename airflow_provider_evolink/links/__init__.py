# SPDX-License-Identifier: Apache-2.0
"""The extra link on a task's page."""
