# SPDX-License-Identifier: Apache-2.0
"""Prices of generations. EvoLink documents examples only, so these are invented, in the right order of magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_evolink.emulator.media.artifacts import Artifact

MAX_AUTO_SECONDS = 10
PER_SECOND = 10.234  # the documented example: 102.34 for 10 s of gemini-omni-flash
PER_IMAGE = 2.5
PER_AUDIO = 10.0
USED_FRACTION = 0.97  # a token-billed generation uses a little less than was reserved


@dataclass(frozen=True)
class Quote:
    """Price of one generation.

    :param rule: ``per_token``, ``per_second`` or ``per_call``.
    :param reserved: credits reserved while it runs.
    :param price: credits charged if it completes.
    """

    rule: str
    reserved: float
    price: float

    def charged_by(self, factor: float) -> Quote:
        """Return the quote with its charge multiplied; the reservation stays.

        :param factor: 1 for no change.
        """
        return replace(self, price=round(self.price * factor, 4))


def quote(model: str, kind: str, parameters: Mapping[str, Any], artifacts: tuple[Artifact, ...]) -> Quote:
    """Price a generation.

    :param model: id of the model.
    :param kind: video, image or audio.
    :param parameters: parameters of the request; the duration ``auto`` reserves for the longest one.
    :param artifacts: files that it will deliver.
    """
    if kind == "audio":
        return Quote("per_call", PER_AUDIO, PER_AUDIO)
    if kind == "image":
        cost = PER_IMAGE * len(artifacts)
        return Quote("per_call", cost, cost)
    delivered = sum(artifact.seconds for artifact in artifacts)
    longest = MAX_AUTO_SECONDS if parameters.get("duration") == "auto" else delivered
    if model.startswith("gemini-omni"):
        return Quote("per_token", _credits(longest), _credits(delivered * USED_FRACTION))
    return Quote("per_second", _credits(longest), _credits(delivered))


def _credits(seconds: float) -> float:
    return round(seconds * PER_SECOND, 2)
