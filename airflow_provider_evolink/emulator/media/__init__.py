# SPDX-License-Identifier: Apache-2.0
"""The files that generations deliver: planned from the request, rendered on first download."""
