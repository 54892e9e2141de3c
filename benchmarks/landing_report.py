# SPDX-License-Identifier: Apache-2.0
"""Turns the rounds of the landing benchmark into Markdown, with the goals they meet. Pure."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Rounds = dict[str, list[dict[str, Any]]]

MIB = 1024 * 1024
SHARE, MEMORY_MIB = 0.9, 64
PYTHON = ("requests", "aiohttp", "httpx")
_DESCRIPTIONS = {
    "ours": "**this provider**: checked, sha256, fsync, atomic rename",
    "ours unsynced": "this provider without `os.fsync`",
    "requests": "requests, `iter_content(1 MiB)` to a file",
    "aiohttp": "aiohttp, `iter_any()` to a file",
    "httpx": "httpx, `iter_bytes()` to a file",
    "curl": "`curl --output`",
    "curl sha256": "`curl --output`, then `sha256sum`",
    "ours s3://store@videos/landed": "**this provider**: link (https) to bucket, checked, sha256",
    "upload publish": "**this provider**: only the upload of a file",
    "upload upload_fileobj": "boto3 `upload_fileobj` (8 MB parts, 10 threads)",
    "upload put_file": "s3fs `put_file` (50 MB parts, 10 at once)",
}
_ABOUT = """\
`make bench-landing`, {now:%Y-%m-%d}: {size:,} bytes over the loopback from a server in its own process, pinned to the
last of {cores} cores; {rounds} rounds ({uploads} to S3), all contenders in turn, each in its own process, after one
warm-up round; the disk is idle (`sync`) before each. Every file's sha256 is checked. The run took {seconds:.0f} s. The
machine's load was {load:.1f} at its start and {load_after:.1f} at its end: other work is in these figures, so compare
within a table only; ratios are the median of the per-round ratios. Memory is the peak above the level before the fetch,
over all fetches, including the first with everything that it imports.
"""


def describe(name: str) -> str:
    """Describe a contender."""
    client, *more = name.split()
    return _DESCRIPTIONS.get(name) or ", ".join([_DESCRIPTIONS[client], *more])


def median(rounds: list[dict[str, Any]], what: str) -> float:
    """Return the median of a figure; the first round was a warm-up."""
    return statistics.median(float(result[what]) for result in rounds[1:])


def share(taken: Rounds, ours: str, theirs: str) -> float:
    """Return our throughput relative to theirs: the median over rounds, between which the machine's speed varies."""
    pairs = zip(taken[ours][1:], taken[theirs][1:], strict=True)
    return statistics.median(float(their["wall"]) / float(our["wall"]) for our, their in pairs)


def fastest(taken: Rounds, ending: str) -> str:
    """Return the fastest Python client among those that do the same besides fetching."""
    names = [f"{client}{ending}" for client in PYTHON if f"{client}{ending}" in taken]
    return min(names, key=lambda name: median(taken[name], "wall"))


def memory(rounds: list[dict[str, Any]]) -> float:
    """Return the peak MiB above the idle process, the first round included."""
    return max(float(result["memory"]) for result in rounds) / MIB


def table(taken: Rounds, size: int) -> list[str]:
    """Return a table of all contenders."""
    lines = [
        "| | MB/s | wall s: median (fastest) | CPU s | memory over idle, MiB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, rounds in taken.items():
        wall, best = median(rounds, "wall"), min(float(result["wall"]) for result in rounds[1:])
        held = "in other processes" if name.startswith("curl") else f"{memory(rounds):.0f}"
        times = f"{wall:.2f} ({best:.2f}) | {median(rounds, 'cpu'):.2f}"
        lines.append(f"| {describe(name)} | {size / wall / 1e6:.0f} | {times} | {held} |")
    return lines


def verdict(is_met: bool) -> str:
    """Return whether a goal is met."""
    return "met" if is_met else "**missed**"


def goals(races: Mapping[str, Rounds]) -> list[str]:
    """Return a table of the goals, and whether they are met."""
    lines = ["| goal | measured | |", "| --- | --- | --- |"]
    for scheme in ("http", "https"):
        taken = races[scheme]
        for durability, ours, ending in (
            ("ours with fsync, theirs without", "ours", " sha256"),
            ("both without fsync", "ours unsynced", " sha256"),
            ("both with fsync and rename", "ours", " sha256 fsync"),
        ):
            theirs = fastest(taken, ending)
            ratio = share(taken, ours, theirs)
            goal = f"{scheme} to disk, sha256, {durability}: >= {SHARE} of the fastest Python client"
            lines.append(f"| {goal} | {ratio:.2f} of {theirs.split()[0]} | {verdict(ratio >= SHARE)} |")
    most = max(memory(rounds) for taken in races.values() for name, rounds in taken.items() if name.startswith("ours"))
    lines.append(
        f"| memory over the idle worker <= {MEMORY_MIB} MiB | {most:.0f} MiB | {verdict(most <= MEMORY_MIB)} |"
    )
    uploads = races["s3"]
    for theirs in ("upload upload_fileobj", "upload put_file"):
        ratio = share(uploads, "upload publish", theirs)
        lines.append(f"| upload to S3 against {theirs.split()[1]} (no goal set) | {ratio:.2f} | |")
    return lines


def report(races: Mapping[str, Rounds], machine: Mapping[str, Any], now: datetime) -> str:
    """Return the whole page."""
    size = machine["size"]
    rounds, uploads = (len(next(iter(races[race].values()))) - 1 for race in ("http", "s3"))
    return "\n".join(
        [
            "# Landing at speed",
            "",
            textwrap.fill(_ABOUT.format(now=now, rounds=rounds, uploads=uploads, **machine), 118),
            "",
            "## Goals",
            "",
            *goals(races),
            "",
            "## From http to a local disk",
            "",
            *table(races["http"], size),
            "",
            "## From https to a local disk",
            "",
            *table(races["https"], size),
            "",
            "## To S3 (`rclone serve s3`)",
            "",
            *table(races["s3"], size),
            "",
            "What fsync buys: a file under its final name is complete even after a power failure, which no client",
            "guarantees by itself. Its cost is the difference between the first two rows; the file is flushed to the",
            "disk while it is still arriving, so that little is left to wait for.",
            "",
        ]
    )
