# SPDX-License-Identifier: Apache-2.0
"""Serves the benchmark's account: ``python -m benchmarks.batch.evolink`` prints its port."""

from __future__ import annotations

import time

from benchmarks.batch.account import Account
from benchmarks.stub import Respond, arguments, serve


def main() -> None:
    """Serve until standard input closes."""

    def make_respond(origin: str) -> Respond:
        account = Account(origin)
        return lambda method, path, body: account.respond(method, path, body, time.time())

    serve(arguments("EvoLink, cheap enough to measure others by").parse_args(), make_respond)


if __name__ == "__main__":
    main()
