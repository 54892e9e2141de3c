# SPDX-License-Identifier: Apache-2.0
"""Rate limiters as services implement them, each of which reports when the next request passes."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol


class Limiter(Protocol):
    """Limits requests."""

    def take(self, now: float) -> float | None:
        """Let a request pass and return None, or return the seconds until a request would pass."""


@dataclass
class FixedWindows:
    """At most ``limit`` requests in each window; windows begin at round times of the service's clock."""

    limit: int
    seconds: float = 60.0
    window: int = -1
    count: int = 0

    def take(self, now: float) -> float | None:
        """Count the request in its window."""
        window = math.floor(now / self.seconds)
        if window != self.window:
            self.window, self.count = window, 0
        if self.count >= self.limit:
            return (window + 1) * self.seconds - now
        self.count += 1
        return None


@dataclass
class SlidingWindow:
    """At most ``limit`` requests in any span of ``seconds``."""

    limit: int
    seconds: float = 60.0
    passed: deque[float] = field(default_factory=deque)

    def take(self, now: float) -> float | None:
        """Count the requests of the last span."""
        while self.passed and self.passed[0] <= now - self.seconds:
            self.passed.popleft()
        if len(self.passed) >= self.limit:
            return self.passed[0] + self.seconds - now
        self.passed.append(now)
        return None


@dataclass
class TokenBucket:
    """A token bucket: ``limit`` requests per ``seconds`` on average, with bursts of up to ``limit``."""

    limit: int
    seconds: float = 60.0
    tokens: float = math.inf
    at: float = 0.0

    def take(self, now: float) -> float | None:
        """Take a token, if there is one."""
        rate = self.limit / self.seconds
        self.tokens, self.at = min(self.tokens + (now - self.at) * rate, float(self.limit)), now
        if self.tokens < 1:
            return (1 - self.tokens) / rate
        self.tokens -= 1
        return None


KINDS = (FixedWindows, SlidingWindow, TokenBucket)


@dataclass
class Unlimited:
    """No limit."""

    def take(self, now: float) -> float | None:
        """Let it pass."""
        return None
