# SPDX-License-Identifier: Apache-2.0
"""``airflow evolink credits``: how many credits are left."""

from __future__ import annotations

from argparse import Namespace

from airflow_provider_evolink.cli.running import DONE, command, is_for_programs, naming_account, open_account, show


@command
def credits_left(args: Namespace) -> int:
    """Print the remaining credits of the API key and of the account."""
    hook = open_account(args.conn_id)
    with naming_account(hook):
        remaining = hook.get_credits()
    unlimited = None if is_for_programs(args.output) else "unlimited"
    of_key = unlimited if remaining.key_remaining is None else remaining.key_remaining
    show([{"conn_id": args.conn_id, "api_key": of_key, "account": remaining.account_remaining}], args.output)
    return DONE
