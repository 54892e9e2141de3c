"""What must be true of each video, and of all together, when the storm is over. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Video:
    """What is found of one wish.

    :param generations: what EvoLink has accepted for it: ``id``, ``status``, ``charged``.
    :param states: of its tasks.
    :param tries: of its tasks.
    :param ledger: of the task that submits.
    :param log: of the same, all tries.
    :param told: what the task that lands has returned.
    """

    prompt: str
    generations: Sequence[Mapping[str, Any]]
    states: Mapping[str, str | None]
    tries: Mapping[str, int]
    ledger: Mapping[str, Any]
    log: str
    told: Sequence[Mapping[str, Any]]

    @property
    def charged(self) -> list[str]:
        """The ids of the generations that were charged."""
        return [one["id"] for one in self.generations if one["charged"] > 0]


@dataclass(frozen=True)
class Facts:
    """What is found of all.

    :param delivered: SHA-256 of what EvoLink delivers, by the generation's id.
    :param files: SHA-256 of every file in the destination, hidden ones too, by path.
    :param strangers: generations that nobody wished for.
    :param leaked_keys: requests that showed the API key to a media host.
    :param timeout: seconds after which the run was given up; None if it came to its end.
    """

    videos: Sequence[Video]
    delivered: Mapping[str, str]
    files: Mapping[str, str]
    strangers: Sequence[str] = field(default=())
    leaked_keys: int = 0
    timeout: float | None = None

    @property
    def double_charges(self) -> int:
        """How many generations were charged beside the first of their video."""
        return sum(max(len(video.charged) - 1, 0) for video in self.videos)

    @property
    def landed(self) -> int:
        """How many videos lie where the task said, and are what EvoLink delivers."""
        return sum(1 for video in self.videos if self._is_landed(video))

    @property
    def lost(self) -> int:
        """How many were paid for and did not land."""
        return sum(1 for video in self.videos if video.charged and not self._is_landed(video))

    def _is_landed(self, video: Video) -> bool:
        return len(video.charged) == 1 and not list(_about_landing(video, self))


def complaints(facts: Facts) -> list[str]:
    """Tell what must not be: nothing, if all went well in the end."""
    found = [] if facts.timeout is None else [f"it was given up after {facts.timeout:.0f} s"]
    found += [f"{video.prompt}: {what}" for video in facts.videos for what in _about(video, facts)]
    told = {_path(entry) for video in facts.videos for entry in video.told}
    found += [f"{path} was left behind" for path in facts.files if path not in told]
    found += [f"{identity} was accepted, and nobody wished for it" for identity in facts.strangers]
    return [*found, f"the API key was shown to media hosts {facts.leaked_keys} times"] if facts.leaked_keys else found


def _about(video: Video, facts: Facts) -> Iterator[str]:
    if len(video.charged) != 1:
        yield f"{len(video.charged)} generations were charged: {', '.join(video.charged) or 'none'}"
    yield from _about_landing(video, facts)
    for task, state in video.states.items():
        if state != "success":
            yield f"the task {task} is {state} after {video.tries.get(task, 0)} tries"
    ledger = json.dumps(video.ledger)
    for one in video.generations:
        if one["id"] not in ledger and one["id"] not in video.log:
            yield f"{one['id']} is neither in the ledger nor in the log"


def _about_landing(video: Video, facts: Facts) -> Iterator[str]:
    if len(video.told) != 1:
        yield f"{len(video.told)} files were told to have landed"
    for entry in video.told:
        identity, digest = entry["generation_id"], facts.files.get(_path(entry))
        if identity not in video.charged:
            yield f"{identity} has landed, and was not charged for this video"
        if digest is None:
            yield f"{_path(entry)} is not there"
        elif not digest == entry["sha256"] == facts.delivered.get(identity):
            yield f"{_path(entry)} is not what EvoLink delivers"


def _path(entry: Mapping[str, Any]) -> str:
    return str(entry["uri"]).removeprefix("file://")
