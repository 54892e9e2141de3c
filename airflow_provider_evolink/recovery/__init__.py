# SPDX-License-Identifier: Apache-2.0
"""Land what an account has paid for, whoever submitted it."""
