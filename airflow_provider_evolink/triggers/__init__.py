# SPDX-License-Identifier: Apache-2.0
"""The triggers: poll one generation, or many, in the triggerer."""
