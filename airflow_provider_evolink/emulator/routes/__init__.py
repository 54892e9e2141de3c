# SPDX-License-Identifier: Apache-2.0
"""HTTP endpoints: EvoLink's own, and the control API below ``/_emulator/``."""
