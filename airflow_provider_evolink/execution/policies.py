# SPDX-License-Identifier: Apache-2.0
"""Check the choices about paying that the operators share."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_evolink.api.errors import InvalidInputError

POLICIES: Mapping[str, tuple[str, ...]] = {
    "on_unknown_submission": ("replay", "fail"),
    "on_clear": ("reuse", "resubmit"),
    "on_changed_input": ("fail", "resubmit"),
}


def check_policies(operator: object) -> None:
    """Refuse an operator with a choice that does not exist.

    :raises InvalidInputError: one of them; it names the argument.
    """
    for name, allowed in POLICIES.items():
        check_choice(name, getattr(operator, name), allowed)


def check_upload(value: object) -> None:
    """Refuse an ``upload`` that does not exist.

    :raises InvalidInputError: it does not.
    """
    check_choice("upload", value, ("auto", "always", "never"))


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of the allowed ones.

    :raises InvalidInputError: it is not.
    """
    if value not in allowed:
        raise InvalidInputError(name, value, " or ".join(map(repr, allowed)))
