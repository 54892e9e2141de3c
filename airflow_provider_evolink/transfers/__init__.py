# SPDX-License-Identifier: Apache-2.0
"""The transfer operator: copies results to storage that the user owns."""
