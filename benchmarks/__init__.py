# SPDX-License-Identifier: Apache-2.0
"""What the provider costs, measured: import time, waiting, and when to ask."""
