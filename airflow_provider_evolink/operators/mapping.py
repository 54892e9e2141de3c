# SPDX-License-Identifier: Apache-2.0
"""The arguments of mapped tasks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any


def given_once(operator_class: type, arguments: Mapping[str, Any]) -> SimpleNamespace:
    """Return what all tasks of a mapped operator have in common, as attributes like those of an operator.

    :param operator_class: its class, whose defaults stand for the arguments that are not given.
    :param arguments: those of ``partial``.
    """
    parameters = inspect.signature(operator_class.__init__).parameters.values()  # type: ignore[misc]
    return SimpleNamespace(**{**{each.name: each.default for each in parameters}, **arguments})
