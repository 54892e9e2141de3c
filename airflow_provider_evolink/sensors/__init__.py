# SPDX-License-Identifier: Apache-2.0
"""The sensor: waits for a generation and never submits one."""
