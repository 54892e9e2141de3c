# SPDX-License-Identifier: Apache-2.0
"""Authentication and endpoint: an EvoLink account as an Airflow connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from airflow_provider_evolink.api.addresses import is_this_machine
from airflow_provider_evolink.api.errors import (
    ConfigurationError,
    ConnectionNotFoundError,
    EvoLinkError,
    InvalidInputError,
)
from airflow_provider_evolink.api.settings import Settings, read_settings
from airflow_provider_evolink.compat import CONNECTION_NOT_FOUND, BaseHook, get_async_connection

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.generation import Credits, Generation, Submission
    from airflow_provider_evolink.api.request import GenerationRequest

T = TypeVar("T")

DEFAULT_CONN_ID = "evolink_default"
_ATTEMPTS = 4


class EvoLinkHook(BaseHook):
    """
    Speaks to EvoLink with the key and host of a connection.

    The connection is of type ``evolink``: host = base URL of the API, by default ``https://api.evolink.ai``;
    password = API key; extras ``timeout`` and ``submit_timeout`` (seconds), ``verify`` (``false``, or the path of a CA
    bundle or of a folder of CA certificates) and ``proxy`` (``http://`` or ``https://``). Any other extra is ignored
    and never sent. A connection of type ``http`` is accepted too, and means the URL that it means to Airflow's
    ``HttpHook``, but for plain http to another machine, which becomes https where it is not asked for.

    Reading is repeated up to four times when it fails in passing. A submission is sent once, whatever comes of it.

    :param evolink_conn_id: the connection's id.
    """

    conn_name_attr = "evolink_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "evolink"
    hook_name = "EvoLink"

    def __init__(self, evolink_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.evolink_conn_id = evolink_conn_id

    @cached_property
    def settings(self) -> Settings:
        """What the connection says; looked up once per hook."""
        return settings_from(self.evolink_conn_id, self.get_connection(self.evolink_conn_id))

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine, as the emulator is."""
        return self.settings.is_loopback

    def prepare(self, model: str, parameters: Mapping[str, Any], *, media_type: str | None = None) -> GenerationRequest:
        """
        Check a submission and put it into the form that is sent; nothing is sent.

        :param model: model id.
        :param parameters: as EvoLink documents them. Links may lead to this machine if the connection's host is it.
        :param media_type: ``video``, ``image`` or ``audio``, for a model that this package does not know.
        :raises InvalidInputError: EvoLink would refuse it.
        :raises ConfigurationError: the connection can't be used.
        """
        # Its checks are imported where something is submitted, as parsing a DAG file needs none of them.
        from airflow_provider_evolink.api import request

        return request.prepare(model, parameters, media_type=media_type, allow_loopback=self.is_loopback)

    def submit(self, request: GenerationRequest, idempotency_key: str) -> Submission:
        """
        Send a paid submission once.

        :param prepared: made by :meth:`prepare`.
        :param idempotency_key: 16 to 96 characters of ``[A-Za-z0-9._-]``, the same if ever sent again.
        :return: the accepted generation, and whether EvoLink had seen the key before.
        :raises ApiError: EvoLink turned it down, or failed.
        :raises ConnectionLostError, InvalidResponseError: it may have been accepted and charged.
        """
        return self._run(lambda client: client.submit(request.endpoint, request.body, idempotency_key))

    def get_generation(self, generation_id: str) -> Generation:
        """
        Read one generation; free.

        :raises GenerationNotFoundError: this account has no such generation, or has it no more.
        :raises EvoLinkError: it could not be asked; the generation goes on.
        """
        return self._run(lambda client: client.generation(generation_id))

    def get_generations(self, generation_ids: Iterable[str]) -> dict[str, Generation]:
        """
        Read up to 50 generations with one request; free.

        :return: by id; ids that EvoLink does not know are absent.
        """
        return self._run(lambda client: client.generations(generation_ids))

    def get_credits(self) -> Credits:
        """Read what the key and the account have left; free."""
        return self._run(lambda client: client.credits())

    def upload(self, path: str | Path) -> str:
        """
        Upload a local file and return its public URL, which lives for 72 hours (documented); free.

        :param path: a png, jpeg, webp or gif picture (documented), or a video or sound (EvoLink's own clients upload
            them); what it is shows in its content, whatever it is called.
        :raises InvalidInputError: it can't be read, or is none of these; nothing was sent.
        """
        from airflow_provider_evolink.landing.media_types import HEAD_BYTES
        from airflow_provider_evolink.landing.uploads import UPLOADABLE, upload_type

        file = Path(path)
        try:
            with file.open("rb") as stream:
                kind = upload_type(stream.read(HEAD_BYTES))
        except OSError as error:
            raise InvalidInputError("path", str(path), f"it must be a readable file ({error.strerror})") from error
        if kind is None:
            raise InvalidInputError("path", str(path), f"it must be {UPLOADABLE}")
        return self._run(lambda client: client.upload(file, kind))

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the credits that are left; free."""
        try:
            left = self.get_credits()
        except EvoLinkError as error:
            # Airflow tests a connection under a made-up id.
            return False, str(error).replace(f"Connection {self.evolink_conn_id!r}", "The connection")
        key = "unlimited" if left.key_remaining is None else f"{left.key_remaining:g}"
        return True, f"Connected to EvoLink. Credits left: key {key}, account {left.account_remaining:g}."

    def _run(self, operation: Callable[[EvoLinkClient], Coroutine[Any, Any, T]]) -> T:
        from airflow_provider_evolink.api.client import EvoLinkClient, run

        settings = self.settings

        async def whole() -> T:
            async with EvoLinkClient(settings, attempts=_ATTEMPTS) as client:
                return await operation(client)

        return run(whole)


async def async_settings(evolink_conn_id: str) -> Settings:
    """
    Look a connection up from an event loop.

    :raises ConnectionNotFoundError: there is none, or this process may not use it.
    :raises ConfigurationError: it can't be used; the text says which field and why.
    """
    try:
        connection = await get_async_connection(evolink_conn_id, hook=EvoLinkHook)
    except CONNECTION_NOT_FOUND as error:
        raise ConnectionNotFoundError(
            f"Connection {evolink_conn_id!r} is not found here: {error}. Nothing was sent."
        ) from error
    return settings_from(evolink_conn_id, connection)


def settings_from(conn_id: str, connection: Connection) -> Settings:
    """
    Read a connection.

    :raises ConfigurationError: it can't be used; the text says which field and why.
    """
    if connection.conn_type not in {"evolink", "http"}:
        raise ConfigurationError(
            f"Connection {conn_id!r} is of type {connection.conn_type!r}: evolink or http is needed. Nothing was sent."
        )
    return read_settings(
        conn_id,
        host=connection.host,
        schema=_schema_of(connection),
        port=connection.port,
        login=connection.login,
        password=connection.password,
        extra=_extra(conn_id, connection.extra),
    )


def _schema_of(connection: Connection) -> str | None:
    """Airflow's HttpHook speaks plain http where it is not told, which the key may do on this machine only."""
    if connection.schema or connection.conn_type != "http":
        return connection.schema
    return "http" if is_this_machine(urlsplit(f"//{connection.host}").hostname or "") else "https"


def _extra(conn_id: str, text: str | None) -> Mapping[str, Any]:
    # Read by hand: extra_dejson would send the supervisor one more message for each look-up.
    try:
        extra = json.loads(text or "{}")
    except (ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict):
        raise ConfigurationError(f"Connection {conn_id!r} has an extra that is no JSON object. Nothing was sent.")
    return extra
