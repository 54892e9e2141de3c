# SPDX-License-Identifier: Apache-2.0
"""What must hold for a batch when it is over, whatever has happened to it on the way."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

from airflow_provider_evolink.types import ManifestLine

# SHA-256 and size in bytes.
File = tuple[str, int]
_FIELDS = set(get_type_hints(ManifestLine))


@dataclass(frozen=True)
class Batch:
    """What is found of a batch.

    :param prompts: of its rows by key, in the order of the table.
    :param generations: what EvoLink has accepted for them: ``id``, ``prompt``, ``charged``, ``idempotency_key``.
    :param delivered: SHA-256 of what EvoLink delivers, by generation id.
    :param files: every file in the destination but the manifest, hidden ones included, by URI.
    :param manifest: text of the manifest; ``None`` if there is none.
    :param ledger: the rows of the task's ledger, by key.
    :param log: of all attempts.
    :param state: of the task.
    :param summary: what the task has returned.
    """

    prompts: Mapping[str, str]
    generations: Sequence[Mapping[str, Any]]
    delivered: Mapping[str, str]
    files: Mapping[str, File]
    manifest: str | None
    ledger: Mapping[str, Any]
    log: str
    state: str | None
    summary: Mapping[str, Any] | None

    @property
    def charges(self) -> int:
        """Number of generations that were charged."""
        return sum(len(self.charged(key)) for key in self.prompts)

    @property
    def double_charges(self) -> int:
        """Number of generations that were charged in addition to the first of their row."""
        return sum(max(len(self.charged(key)) - 1, 0) for key in self.prompts)

    @property
    def landed(self) -> int:
        """Number of rows that were charged once, and whose line and file are right."""
        return sum(1 for key in self.prompts if len(self.charged(key)) == 1 and not list(_about_line(key, self)))

    @property
    def lost(self) -> int:
        """Number of rows that were paid for and did not land."""
        return sum(1 for key in self.prompts if self.charged(key)) - self.landed

    def charged(self, key: str) -> list[Mapping[str, Any]]:
        """Return the generations that were charged for a row."""
        of_row = self._by_prompt.get(self.prompts[key], [])
        return [generation for generation in of_row if generation["charged"] > 0]

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of the manifest.

        :raises ValueError: it is no JSON Lines.
        """
        return [json.loads(line) for line in (self.manifest or "").splitlines()]

    @cached_property
    def line_of(self) -> dict[str, dict[str, Any]]:
        """The lines by key; empty if there is no manifest, or a broken one."""
        return {} if _broken_manifest(self) else {line["key"]: line for line in self.lines}

    @cached_property
    def _by_prompt(self) -> dict[str, list[Mapping[str, Any]]]:
        found: dict[str, list[Mapping[str, Any]]] = {}
        for generation in self.generations:
            found.setdefault(generation["prompt"], []).append(generation)
        return found


def files_of(folder: Path, manifest: Path) -> dict[str, File]:
    """Return every file in a folder but the manifest, hidden ones included, by URI."""
    files = (path for path in folder.rglob("*") if path.is_file() and path != manifest)
    return {f"file://{path}": (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size) for path in files}


def violations(batch: Batch) -> list[str]:
    """Return every violation; empty if each row was paid for once and has landed, and the manifest says so."""
    found = [f"{key}: {what}" for key in batch.prompts for what in _about_row(key, batch)]
    found += [] if batch.state == "success" else [f"the task is {batch.state}"]
    found += [*_broken_manifest(batch), *_about_summary(batch), *untraceable(batch)]
    uris = {uri for line in batch.line_of.values() for uri in line["uris"]}
    found += [f"{uri} was left behind" for uri in batch.files if uri not in uris]
    prompts = set(batch.prompts.values())
    return found + [f"{g['id']} was accepted for no row" for g in batch.generations if g["prompt"] not in prompts]


def untraceable(batch: Batch) -> list[str]:
    """Return the generations that neither the ledger nor the log leads to, by id or by idempotency key."""
    known = f"{json.dumps(batch.ledger)}\n{batch.log}"
    return [
        f"{generation['id']} is neither in the ledger nor in the log"
        for generation in batch.generations
        if generation["id"] not in known and str(generation["idempotency_key"]) not in known
    ]


def broken_manifest(batch: Batch, *, earlier: str) -> list[str]:
    """Return what is wrong with the manifest of a batch that has not ended: it is whole, or still the earlier one."""
    return [] if batch.manifest == earlier else _broken_manifest(batch)


def _broken_manifest(batch: Batch) -> list[str]:
    if batch.manifest is None:
        return ["there is no manifest"]
    if not batch.manifest.endswith("\n"):
        return ["the manifest is cut off"]
    try:
        lines = batch.lines
    except ValueError as error:
        return [f"the manifest is not JSON Lines: {error}"]
    if not all(isinstance(line, dict) and line.keys() == _FIELDS for line in lines):
        return ["a line of the manifest has other fields"]
    keys = [line["key"] for line in lines]
    return [] if keys == list(batch.prompts) else [f"the manifest lists {keys}"]


def _about_row(key: str, batch: Batch) -> Iterator[str]:
    charged = batch.charged(key)
    if len(charged) != 1:
        yield f"{len(charged)} generations were charged: {', '.join(g['id'] for g in charged) or 'none'}"
    yield from _about_line(key, batch)


def _about_line(key: str, batch: Batch) -> Iterator[str]:
    line, charged = batch.line_of.get(key), batch.charged(key)
    if line is None:
        yield "it is in no manifest"
        return
    if line["status"] != "landed" or line["error"] is not None:
        yield f"the manifest says {line['status']}: {line['error']}"
    if line["generation_id"] not in [generation["id"] for generation in charged]:
        yield f"the manifest names {line['generation_id']}, which was not charged for it"
    cost = sum(generation["charged"] for generation in charged)
    if abs((line["credits"] or 0) - cost) > 1e-6 or not line["tries"]:
        yield f"the manifest says {line['credits']} credits in {line['tries']} tries; EvoLink has charged {cost}"
    yield from _about_files(line, batch)


def _about_files(line: Mapping[str, Any], batch: Batch) -> Iterator[str]:
    if [len(line[name]) for name in ("uris", "bytes", "sha256")] != [1, 1, 1]:
        yield f"the manifest names {line['uris']}"
    for uri, *file in zip(line["uris"], line["sha256"], line["bytes"], strict=False):
        if uri not in batch.files:
            yield f"{uri} is not there"
        elif batch.files[uri] != tuple(file) or file[0] != batch.delivered.get(line["generation_id"]):
            yield f"{uri} is not what EvoLink delivers, or not as the manifest says"


def _about_summary(batch: Batch) -> Iterator[str]:
    counts = Counter(line["status"] for line in batch.line_of.values())
    statuses = ("landed", "skipped", "failed", "unfinished")
    expected = {"total": len(batch.prompts), **{status: counts[status] for status in statuses}, "credits_reserved": 0}
    summary = batch.summary or {}
    if {name: summary.get(name) for name in expected} != expected:
        yield f"the task returned {dict(summary)}"
    charged = sum(generation["charged"] for generation in batch.generations)
    if abs(summary.get("credits_used", 0) - charged) > 1e-6:
        yield f"the task says that {summary.get('credits_used')} credits were used; EvoLink has charged {charged}"
