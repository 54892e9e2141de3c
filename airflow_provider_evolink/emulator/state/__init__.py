# SPDX-License-Identifier: Apache-2.0
"""What the emulator stores: account, generations, uploads, idempotency keys, faults and the clock."""
