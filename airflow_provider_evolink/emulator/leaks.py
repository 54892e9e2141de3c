# SPDX-License-Identifier: Apache-2.0
"""Where clients show API keys. The one right place is the Authorization header of a request that needs a key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from starlette.types import Message, Receive, Scope

_HEADER = "authorization"
_SHORTEST = 8  # a shorter key may be a part of something honest


class Leaks:
    """Counts the places where keys showed up and had no business.

    Looked for are the keys that the emulator takes and whatever the request itself has in its Authorization header:
    a key that is refused here may be good elsewhere. A place is `url`, `body` (as far as it was read) or
    `header <name>`; `header authorization` where no key is needed, since media hosts are strangers.

    :param keys: those that the emulator takes.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self.found: Counter[str] = Counter()
        self._keys = {key.encode() for key in keys}

    def watch(self, scope: Scope, receive: Receive, *, takes_key: bool) -> Receive:
        """Search a request's URL and headers, and return a way to receive its body that is searched on the way.

        :param scope: the request.
        :param receive: hands out its body.
        :param takes_key: whether its Authorization header is where the key belongs.
        """
        headers = [(name.decode("latin-1").lower(), value) for name, value in scope["headers"]]
        keys = self._keys | {value.rpartition(b" ")[2] for name, value in headers if name == _HEADER}
        secrets = {key for key in keys if len(key) >= _SHORTEST}
        if _shows(unquote_to_bytes(scope["raw_path"] + b"?" + scope["query_string"]), secrets):
            self.found["url"] += 1
        for name, value in headers:
            if not takes_key if name == _HEADER else _shows(value, secrets):
                self.found[f"header {name}"] += 1
        return self._watched(receive, secrets) if secrets else receive

    def _watched(self, receive: Receive, secrets: set[bytes]) -> Receive:
        longest = max(map(len, secrets))
        end, is_found = b"", False  # the end of what came before: a key may lie across two pieces

        async def watched() -> Message:
            nonlocal end, is_found
            message = await receive()
            piece = end + message.get("body", b"")
            if not is_found and _shows(piece, secrets):
                is_found = True
                self.found["body"] += 1
            end = piece[-longest:]
            return message

        return watched


def _shows(data: bytes, secrets: set[bytes]) -> bool:
    return any(secret in data for secret in secrets)
