# SPDX-License-Identifier: Apache-2.0
"""The operators: submit paid generations and wait for them."""
