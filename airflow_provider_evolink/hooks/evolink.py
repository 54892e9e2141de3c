# SPDX-License-Identifier: Apache-2.0
"""Hook for an EvoLink account: credentials and endpoint come from an Airflow connection."""

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
    """Call the EvoLink API with the API key and host of an Airflow connection.

    A connection of type ``evolink`` has these fields: host = base URL of the API, ``https://api.evolink.ai`` by
    default; password = API key; extras ``timeout`` and ``submit_timeout`` (read timeouts in seconds, 15 and 30 by
    default), ``verify`` (``false``, or the path of a CA bundle or of a folder of CA certificates) and ``proxy`` (an
    ``http://`` or ``https://`` URL). Any other extra is ignored and never sent. A connection of type ``http`` works too
    and means the same URL as in Airflow's ``HttpHook``, except that plain http never goes to another machine: it
    becomes https where the connection names no scheme, and is refused where the connection asks for it.

    A read that fails with a transient error is attempted up to four times. A submission is sent exactly once, whatever
    the outcome.

    :param evolink_conn_id: id of the connection, ``evolink_default`` by default.
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
        """The connection's settings, looked up once per hook."""
        return settings_from(self.evolink_conn_id, self.get_connection(self.evolink_conn_id))

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine, as the emulator is."""
        return self.settings.is_loopback

    def prepare(self, model: str, parameters: Mapping[str, Any], *, media_type: str | None = None) -> GenerationRequest:
        """Validate a submission and build the request; nothing is sent.

        :param model: model id.
        :param parameters: the model's parameters as EvoLink documents them. Their URLs may point to this machine only
            if the connection's host does.
        :param media_type: ``video``, ``image`` or ``audio``, for a model that this package does not know.
        :raises InvalidInputError: EvoLink would reject it; the message names the parameter.
        :raises ConfigurationError: the connection can't be used.
        """
        # Imported here, since parsing a DAG file needs no validation.
        from airflow_provider_evolink.api import request

        return request.prepare(model, parameters, media_type=media_type, allow_loopback=self.is_loopback)

    def submit(self, request: GenerationRequest, idempotency_key: str) -> Submission:
        """Send a paid submission, exactly once.

        :param request: made by :meth:`prepare`.
        :param idempotency_key: 16 to 96 characters of ``[A-Za-z0-9._-]``; use the same one to send the same request
            again.
        :return: the accepted generation, and whether EvoLink recognized the idempotency key.
        :raises ApiError: EvoLink rejected it, or failed.
        :raises NotSentError: the request never left this machine; nothing was charged.
        :raises ConnectionLostError, InvalidResponseError: it may have been accepted and charged.
        """
        return self._run(lambda client: client.submit(request.endpoint, request.body, idempotency_key))

    def get_generation(self, generation_id: str) -> Generation:
        """Read one generation; free.

        :raises GenerationNotFoundError: this account has no such generation, or no longer has it.
        :raises EvoLinkError: it could not be read; the generation is not affected.
        """
        return self._run(lambda client: client.generation(generation_id))

    def get_generations(self, generation_ids: Iterable[str]) -> dict[str, Generation]:
        """Read up to 50 generations with one request; free.

        :return: the generations by id; ids that EvoLink does not know are missing.
        :raises InvalidInputError: more than 50 ids, or one that can't be an id.
        """
        return self._run(lambda client: client.generations(generation_ids))

    def get_credits(self) -> Credits:
        """Read the remaining credits of the API key and of the account; free."""
        return self._run(lambda client: client.credits())

    def upload(self, path: str | Path) -> str:
        """Upload a local file and return its public URL, valid for 72 hours (documented); free.

        :param path: a png, jpeg, webp or gif image (documented), or a video or audio file (EvoLink's own clients upload
            them). The type is taken from the content, not from the name.
        :raises InvalidInputError: the file can't be read, or has another type; nothing was sent.
        """
        from airflow_provider_evolink.landing.media_types import HEAD_BYTES
        from airflow_provider_evolink.landing.uploads import UPLOADABLE, upload_type

        file = Path(path)
        try:
            with file.open("rb") as stream:
                content_type = upload_type(stream.read(HEAD_BYTES))
        except OSError as error:
            raise InvalidInputError("path", str(path), f"a readable file ({error.strerror})") from error
        if content_type is None:
            raise InvalidInputError("path", str(path), UPLOADABLE)
        return self._run(lambda client: client.upload(file, content_type))

    def test_connection(self) -> tuple[bool, str]:
        """Read the remaining credits; free."""
        try:
            remaining = self.get_credits()
        except EvoLinkError as error:
            # Airflow tests a connection under a made-up id.
            return False, str(error).replace(f"Connection {self.evolink_conn_id!r}", "The connection")
        of_key = "unlimited" if remaining.key_remaining is None else f"{remaining.key_remaining:g}"
        of_account = f"{remaining.account_remaining:g}"
        return True, f"Connected to EvoLink. Credits left: API key {of_key}, account {of_account}."

    def _run(self, operation: Callable[[EvoLinkClient], Coroutine[Any, Any, T]]) -> T:
        from airflow_provider_evolink.api.client import EvoLinkClient, run

        settings = self.settings

        async def connect_and_run() -> T:
            async with EvoLinkClient(settings, attempts=_ATTEMPTS) as client:
                return await operation(client)

        return run(connect_and_run)


async def async_settings(evolink_conn_id: str) -> Settings:
    """Look up a connection from an event loop, without blocking it.

    :raises ConnectionNotFoundError: there is no such connection, or this process may not use it.
    :raises ConfigurationError: it can't be used; the message names the field and the reason.
    """
    try:
        connection = await get_async_connection(evolink_conn_id, hook=EvoLinkHook)
    except CONNECTION_NOT_FOUND as error:
        raise ConnectionNotFoundError(
            f"Connection {evolink_conn_id!r} was not found by this process: {error}. Nothing was sent."
        ) from error
    return settings_from(evolink_conn_id, connection)


def settings_from(conn_id: str, connection: Connection) -> Settings:
    """Read the settings from a connection.

    :raises ConfigurationError: it can't be used; the message names the field and the reason.
    """
    if connection.conn_type not in {"evolink", "http"}:
        raise ConfigurationError(
            f"Connection {conn_id!r} has type {connection.conn_type!r}: must be evolink or http. Nothing was sent."
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
    """Return the scheme: HttpHook defaults to plain http, over which the API key may go to this machine only."""
    if connection.schema or connection.conn_type != "http":
        return connection.schema
    return "http" if is_this_machine(urlsplit(f"//{connection.host}").hostname or "") else "https"


def _extra(conn_id: str, text: str | None) -> Mapping[str, Any]:
    # Parsed here: extra_dejson would send the supervisor one more message per look-up.
    try:
        extra = json.loads(text or "{}")
    except (ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict):
        raise ConfigurationError(f"Connection {conn_id!r} has an extra that is not a JSON object. Nothing was sent.")
    return extra
