# SPDX-License-Identifier: Apache-2.0
"""What EvoLink's gateway accepts as an idempotency key (undocumented; known from EvoLink's own clients)."""

from __future__ import annotations

import re

from airflow_provider_evolink.api.errors import InvalidInputError

_KEY = re.compile(r"[A-Za-z0-9._-]{16,96}")


def check_idempotency_key(value: object) -> None:
    """Refuse what the gateway would not take for a key: a submission without one is not recognized when repeated.

    :raises InvalidInputError: it is no such key; nothing was sent.
    """
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise InvalidInputError("idempotency_key", value, "16 to 96 characters of A-Z, a-z, 0-9, ., _ and -")
