# SPDX-License-Identifier: Apache-2.0
"""The EvoLink of this benchmark: accepts every generation, completes it after five seconds, and has its result. Pure.

Ids hold when their generation ends, so that whoever has a file knows how long it took to land.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from typing import Any

from benchmarks import bodies
from benchmarks.jobs import Job, job_of_id

TAKES_SECONDS = 5
COUNTS_PATH = "/counts-by-kind"
MEDIA_TYPE = "video/mp4"
_CLIP_BYTES = 150_000
# The box that names the brands, which is what a file is recognized by.
_FTYP = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"
_MDAT = b"mdat"
_JSON = "application/json"

CLIP = (
    _FTYP
    + (_CLIP_BYTES - len(_FTYP)).to_bytes(4)
    + _MDAT
    + random.Random(1).randbytes(_CLIP_BYTES - len(_FTYP) - 4 - len(_MDAT))
)
SHA256 = hashlib.sha256(CLIP).hexdigest()


class Account:
    """An account with endless credits.

    :param origin: scheme, host and port of the server, for the links to results.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self.counts: Counter[str] = Counter(dict.fromkeys(("submissions", "reads", "batch reads", "downloads"), 0))

    def respond(self, method: str, path: str, body: bytes, now: float) -> tuple[int, bytes, str]:
        """Respond to a request.

        :param now: seconds since the epoch.
        :return: status, body and media type.
        """
        kind = _kind(method, path)
        if kind in self.counts:
            self.counts[kind] += 1
        match kind:
            case "submissions":
                return 200, bodies.to_json(self._accepted(now)), _JSON
            case "batch reads":
                ids = json.loads(body)["task_ids"][: bodies.MAX_BATCH_SIZE]
                return 200, bodies.to_json({"data": [self._detail(name, now) for name in ids]}), _JSON
            case "reads":
                return 200, bodies.to_json(self._detail(path.rpartition("/")[2], now)), _JSON
            case "downloads":
                return 200, CLIP, MEDIA_TYPE
            case "counts":
                return 200, bodies.to_json(self.counts), _JSON
        return 404, bodies.NOT_FOUND, _JSON

    def _accepted(self, now: float) -> dict[str, Any]:
        job = Job(begins=round(now * 1000), takes=TAKES_SECONDS * 1000, number=self.counts["submissions"])
        return bodies.generation(job, now, estimate=TAKES_SECONDS) | {"progress": 0, "status": "pending"}

    def _detail(self, generation_id: str, now: float) -> dict[str, Any]:
        return bodies.generation(job_of_id(generation_id), now, origin=self._origin, estimate=TAKES_SECONDS)


def _kind(method: str, path: str) -> str:
    if method == "POST":
        return {"/v1/videos/generations": "submissions", "/v1/tasks/batch": "batch reads"}.get(path, "")
    if path == COUNTS_PATH:
        return "counts"
    if path.startswith("/v1/tasks/"):
        return "reads"
    return "downloads" if path.startswith("/videos/") else ""
