# SPDX-License-Identifier: Apache-2.0
"""Signals interrupt once, and never in the middle of a block that must finish."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from testkit.interrupts import Interrupts

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Interrupts that are installed for one test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    some = Interrupts()
    some.install()
    yield some
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_interrupts(interrupts: Interrupts, number: signal.Signals) -> None:
    """Every signal that stops a program raises the same exception."""
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_a_held_signal_is_delivered_afterwards(interrupts: Interrupts) -> None:
    """A block that must not be cut in half finishes first."""
    finished = False
    with pytest.raises(KeyboardInterrupt), interrupts.held():  # noqa: PT012 - the block is what is tested
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
        finished = True
    assert finished


def test_a_second_signal_does_not_disturb_the_cleanup(interrupts: Interrupts) -> None:
    """A second Ctrl-C while everything is being stopped changes nothing."""
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
