# SPDX-License-Identifier: Apache-2.0
"""What a landed generation costs: mapped tasks, a batch, a bare script: ``make bench-batch``."""
