# SPDX-License-Identifier: Apache-2.0
"""Values that look like EvoLink's."""

from __future__ import annotations

GENERATION_ID = "task-unified-1757169743-7cvnl5zw"
