# SPDX-License-Identifier: Apache-2.0
"""``airflow evolink credits``: how many credits are left."""

from __future__ import annotations

from argparse import Namespace

from airflow_provider_evolink.cli.running import DONE, command, show
from airflow_provider_evolink.hooks.evolink import EvoLinkHook


@command
def credits_left(args: Namespace) -> int:
    """Print the remaining credits of the API key and of the account."""
    remaining = EvoLinkHook(args.conn_id).get_credits()
    of_key = "unlimited" if remaining.key_remaining is None else remaining.key_remaining
    show([{"conn_id": args.conn_id, "api_key": of_key, "account": remaining.account_remaining}], args.output)
    return DONE
