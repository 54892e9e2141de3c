# SPDX-License-Identifier: Apache-2.0
"""What must hold for each video, and for all together, when the experiment is over. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Video:
    """What is found of one video.

    :param prompt: identifies it.
    :param generations: what EvoLink has accepted for it: ``id``, ``status``, ``charged``.
    :param states: states of its tasks.
    :param tries: attempts of its tasks.
    :param ledger: record of the task that submits.
    :param log: log of the same task, all attempts.
    :param returned: what the task that lands has returned.
    """

    prompt: str
    generations: Sequence[Mapping[str, Any]]
    states: Mapping[str, str | None]
    tries: Mapping[str, int]
    ledger: Mapping[str, Any]
    log: str
    returned: Sequence[Mapping[str, Any]]

    @property
    def charged(self) -> list[str]:
        """The ids of the generations that were charged."""
        return [generation["id"] for generation in self.generations if generation["charged"] > 0]


@dataclass(frozen=True)
class Facts:
    """What is found of all videos.

    :param videos: each of them.
    :param delivered: SHA-256 of what EvoLink delivers, by generation id.
    :param files: SHA-256 of every file in the destination, hidden ones included, by path.
    :param unexpected: ids of generations with an unknown prompt.
    :param leaked_keys: number of requests that showed the API key to a media host.
    :param timeout: seconds after which the run was given up; None if it ended.
    """

    videos: Sequence[Video]
    delivered: Mapping[str, str]
    files: Mapping[str, str]
    unexpected: Sequence[str] = field(default=())
    leaked_keys: int = 0
    timeout: float | None = None

    @property
    def requested(self) -> int:
        """Number of videos."""
        return len(self.videos)

    @property
    def attempts(self) -> dict[str, list[int]]:
        """The attempts of all tasks, by what they do."""
        tasks = {"to generate": "generate", "to land": "land"}
        return {label: [video.tries.get(task, 0) for video in self.videos] for label, task in tasks.items()}

    @property
    def sends(self) -> list[int]:
        """How often the last submission of each video was sent."""
        return [video.ledger.get("send_count", 0) for video in self.videos]

    @property
    def double_charges(self) -> int:
        """Number of generations that were charged in addition to the first of their video."""
        return sum(max(len(video.charged) - 1, 0) for video in self.videos)

    @property
    def landed(self) -> int:
        """Number of videos that are where the task reports, with the content that EvoLink delivers."""
        return sum(1 for video in self.videos if self._is_landed(video))

    @property
    def lost(self) -> int:
        """Number of videos that were paid for and did not land."""
        return sum(1 for video in self.videos if video.charged and not self._is_landed(video))

    def _is_landed(self, video: Video) -> bool:
        return len(video.charged) == 1 and not list(_about_landing(video, self))


def violations(facts: Facts) -> list[str]:
    """Return every violation; empty if everything went well in the end."""
    found = [] if facts.timeout is None else [f"the run was given up after {facts.timeout:.0f} s"]
    found += [f"{video.prompt}: {what}" for video in facts.videos for what in _about(video, facts)]
    returned = {_path(entry) for video in facts.videos for entry in video.returned}
    found += [f"{path} was left behind" for path in facts.files if path not in returned]
    found += [f"{generation_id} was accepted for a prompt that no task has" for generation_id in facts.unexpected]
    return [*found, f"the API key was shown to media hosts {facts.leaked_keys} times"] if facts.leaked_keys else found


def _about(video: Video, facts: Facts) -> Iterator[str]:
    if len(video.charged) != 1:
        yield f"{len(video.charged)} generations were charged: {', '.join(video.charged) or 'none'}"
    yield from _about_landing(video, facts)
    for task, state in video.states.items():
        if state != "success":
            yield f"the task {task} is {state} after {video.tries.get(task, 0)} attempts"
    ledger = json.dumps(video.ledger)
    for generation in video.generations:
        if generation["id"] not in ledger and generation["id"] not in video.log:
            yield f"{generation['id']} is neither in the ledger nor in the log"


def _about_landing(video: Video, facts: Facts) -> Iterator[str]:
    if len(video.returned) != 1:
        yield f"{len(video.returned)} files were returned"
    for entry in video.returned:
        generation_id, digest = entry["generation_id"], facts.files.get(_path(entry))
        if generation_id not in video.charged:
            yield f"{generation_id} has landed, but was not charged for this video"
        if digest is None:
            yield f"{_path(entry)} is not there"
        elif not digest == entry["sha256"] == facts.delivered.get(generation_id):
            yield f"{_path(entry)} is not what EvoLink delivers"


def _path(entry: Mapping[str, Any]) -> str:
    return str(entry["uri"]).removeprefix("file://")
