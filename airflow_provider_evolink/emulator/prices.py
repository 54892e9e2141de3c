# SPDX-License-Identifier: Apache-2.0
"""What generations cost here. The documents only give examples, so these are invented, but in their order of size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.emulator.artifacts import Artifact

LONGEST_AUTO_SECONDS = 10
PER_SECOND = 10.234  # the documented example: 102.34 for 10 s of gemini-omni-flash
PER_PIECE = {"image": 2.5, "audio": 10.0}
REALLY_USED = 0.97  # a token-billed generation needs a little less than was reserved


@dataclass(frozen=True)
class Quote:
    """What one generation costs.

    :param rule: `per_token`, `per_second` or `per_call`.
    :param reserved: credits held while it runs.
    :param price: credits charged if it is delivered.
    """

    rule: str
    reserved: float
    price: float


def quote(model: str, parameters: Mapping[str, Any], artifacts: tuple[Artifact, ...]) -> Quote:
    """Price a generation.

    :param model: its id.
    :param parameters: the request; a duration left open is reserved at its longest.
    :param artifacts: what it will deliver.
    """
    kind = artifacts[0].kind
    if kind in PER_PIECE:
        cost = PER_PIECE[kind] * len(artifacts)
        return Quote("per_call", cost, cost)
    delivered = sum(artifact.seconds for artifact in artifacts)
    longest = LONGEST_AUTO_SECONDS if parameters.get("duration") == "auto" else delivered
    if model.startswith("gemini-omni"):
        return Quote("per_token", _credits(longest), _credits(delivered * REALLY_USED))
    return Quote("per_second", _credits(longest), _credits(delivered))


def _credits(seconds: float) -> float:
    return round(seconds * PER_SECOND, 2)
