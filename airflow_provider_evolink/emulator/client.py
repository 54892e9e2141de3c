# SPDX-License-Identifier: Apache-2.0
"""Client of the control API of a running emulator."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx


class ControlError(Exception):
    """The emulator rejected a control request."""


class ControlClient:
    """Inject faults into an emulator, control its clock and read its state.

    :param url: URL that the emulator listens on.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/_emulator", timeout=30, trust_env=False)

    def inject(
        self,
        fault: str,
        on: str = "any",
        times: int | None = 1,
        *,
        after: int = 0,
        probability: float = 1.0,
        **options: Any,
    ) -> dict[str, Any]:
        """Activate a fault.

        :param fault: its name, one of ``FAULT_KINDS`` in ``airflow_provider_evolink.emulator.faults.kinds``.
        :param on: endpoint to fire on: ``submit``, ``read``, ``batch``, ``list``, ``credits``, ``models``, ``media``,
            ``upload``, ``list_files``, ``delete_file`` or ``quota``; ``any`` for all endpoints that the fault supports.
        :param times: how many requests it affects; None for all until the next reset.
        :param after: number of matching requests to let pass first.
        :param probability: of firing on each later request; the emulator's seed makes it reproducible.
        :param options: options of the fault, such as ``retry_after=2``.
        :return: the fault with all its options.
        :raises ControlError: the fault does not exist, or does not support this endpoint or option.
        """
        body = {"name": fault, "on": on, "times": times, "after": after, "probability": probability, "options": options}
        return self._call("POST", "/faults", body)

    def state(self) -> dict[str, Any]:
        """Return the whole state: clock, requests, credits, generations, callbacks, uploads and faults.

        ``api_key_leaks`` counts, by location, the requests that exposed an API key where none belongs;
        ``api_key_leak_count`` is their sum.
        """
        return self._call("GET", "/state")

    def reset(self) -> None:
        """Return to the settings that the emulator was started with; all state and all faults are dropped."""
        self._call("POST", "/reset", {})

    def set_speed(self, speed: float) -> None:
        """Change the speed of emulated time.

        :param speed: emulated seconds per real second.
        """
        self._call("POST", "/clock", {"speed": speed})

    def advance(self, seconds: float) -> None:
        """Move emulated time forward at once.

        :param seconds: emulated seconds.
        """
        self._call("POST", "/clock", {"advance": seconds})

    def set_link_ttl(self, seconds: float | None) -> None:
        """Change how long result links live after their generation has completed.

        :param seconds: real seconds, 0 to expire at once; None for the documented lifetime of each model.
        """
        self._call("POST", "/settings", {"link_ttl": seconds})

    def set_upload_ttl(self, seconds: float | None) -> None:
        """Change how long uploaded files live; after that, their links get 404.

        :param seconds: real seconds, 0 to expire at once; None for the documented 72 hours.
        """
        self._call("POST", "/settings", {"upload_ttl": seconds})

    def set_query_limit(self, per_minute: int | None) -> None:
        """Change how many status queries each API key may send in an emulated minute.

        A query beyond the limit gets the documented response: 429 with ``Retry-After`` in real seconds. A query for one
        generation and a batch count alike. ``state()["rate_limited_queries"]`` counts the rejected ones.

        :param per_minute: requests; None for no limit.
        """
        self._call("POST", "/settings", {"query_limit": per_minute})

    def set_variants(self, **variants: Any) -> None:
        """Choose among the forms that EvoLink's responses may have; those that are not given stay as they are.

        :param variants: fields of ``Variants`` in ``airflow_provider_evolink.emulator.state.variants``:
            ``created_status`` (``pending``, ``processing`` or ``completed`` in the response to a submission; None for
            the documented one), ``billing`` and ``cost`` (whether responses have these objects),
            ``unlimited_credits`` (whether the API key has no limit of its own) and ``charge_factor`` (multiplies what
            later submissions are charged, but not what is reserved for them).
        :raises ControlError: there is no such variant, or its value is invalid.
        """
        self._call("POST", "/settings", {"variants": variants})

    def add_credits(self, amount: float) -> None:
        """Add credits to the account.

        :param amount: credits; negative to remove some.
        """
        self._call("POST", "/settings", {"add_credits": amount})

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self._client.request(method, path, json=body)
        content: dict[str, Any] = response.json()
        if response.is_error:
            raise ControlError(str(content.get("error")))
        return content
