# SPDX-License-Identifier: Apache-2.0
"""Detect API keys anywhere but in the Authorization header of a request that requires one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from starlette.types import Message, Receive, Scope

_HEADER = "authorization"
_MIN_LENGTH = 8  # a shorter API key may occur in harmless text


class ApiKeyLeaks:
    """Count, by location, the requests that expose an API key where none belongs.

    The search is for the accepted API keys and for the content of the request's own Authorization header, since an API
    key that is rejected here may be valid elsewhere. A location is ``url``, ``body`` (as far as it was read) or
    ``header <name>``; also ``header authorization`` where no API key is required, since media hosts are third parties.

    :param api_keys: the API keys that the emulator accepts.
    """

    def __init__(self, api_keys: Iterable[str]) -> None:
        self.found: Counter[str] = Counter()
        self._api_keys = {api_key.encode() for api_key in api_keys}

    def inspect(self, scope: Scope, receive: Receive, *, requires_api_key: bool) -> Receive:
        """Search URL and headers of a request, and wrap ``receive`` to search its body as it arrives.

        :param scope: ASGI scope of the request.
        :param receive: ASGI callable that returns the body in chunks.
        :param requires_api_key: whether an API key belongs in its Authorization header.
        """
        headers = [(name.decode("latin-1").lower(), value) for name, value in scope["headers"]]
        sent = {value.rpartition(b" ")[2] for name, value in headers if name == _HEADER}
        secrets = {api_key for api_key in self._api_keys | sent if len(api_key) >= _MIN_LENGTH}
        if _contains(unquote_to_bytes(scope["raw_path"] + b"?" + scope["query_string"]), secrets):
            self.found["url"] += 1
        for name, value in headers:
            if not requires_api_key if name == _HEADER else _contains(value, secrets):
                self.found[f"header {name}"] += 1
        return self._inspecting(receive, secrets) if secrets else receive

    def _inspecting(self, receive: Receive, secrets: set[bytes]) -> Receive:
        longest = max(map(len, secrets))
        tail, is_found = b"", False  # end of the previous chunk: an API key may be split between two

        async def wrapper() -> Message:
            nonlocal tail, is_found
            message = await receive()
            chunk = tail + message.get("body", b"")
            if not is_found and _contains(chunk, secrets):
                is_found = True
                self.found["body"] += 1
            tail = chunk[-longest:]
            return message

        return wrapper


def _contains(data: bytes, secrets: set[bytes]) -> bool:
    return any(secret in data for secret in secrets)
