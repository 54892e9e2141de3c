# SPDX-License-Identifier: Apache-2.0
"""Hook for an EvoLink account: credentials and endpoint come from an Airflow connection."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_evolink.api.errors import ConnectionNotFoundError, EvoLinkError, InvalidInputError
from airflow_provider_evolink.api.settings import Settings
from airflow_provider_evolink.api.wording import how_to_define
from airflow_provider_evolink.compat import (
    CONNECTION_NOT_FOUND,
    AirflowNotFoundException,
    BaseHook,
    get_async_connection,
)
from airflow_provider_evolink.execution.airflow_requests import one_airflow_request
from airflow_provider_evolink.hooks.connection_settings import settings_from
from airflow_provider_evolink.hooks.file_methods import FileMethods
from airflow_provider_evolink.hooks.generation_methods import GenerationMethods

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_evolink.api.client import EvoLinkClient
    from airflow_provider_evolink.api.generation import Credits, Generation, Submission
    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.execution.generation_call import Connected
    from airflow_provider_evolink.media.resolver import KnownFiles, UploadPolicy

T = TypeVar("T")

DEFAULT_CONN_ID = "evolink_default"
_ATTEMPTS = 4


class EvoLinkHook(GenerationMethods, FileMethods, BaseHook):
    """Call the EvoLink API with the API key and host of an Airflow connection.

    A connection of type ``evolink`` has these fields: host = base URL of the API, ``https://api.evolink.ai`` by
    default; password = API key; extras ``timeout`` and ``submit_timeout`` (read timeouts in seconds, 15 and 30 by
    default), ``verify`` (``false``, or the path of a CA bundle or of a folder of CA certificates) and ``proxy`` (an
    ``http://`` or ``https://`` URL). Any other extra is ignored and never sent. A connection of type ``http`` works too
    and means the same URL as in Airflow's ``HttpHook``, except that plain http never goes to another machine: it
    becomes https where the connection names no scheme, and is refused where the connection asks for it.

    A read or an upload that fails with a transient error is attempted up to four times. A submission is sent exactly
    once, whatever the outcome.

    :param evolink_conn_id: id of the connection, ``evolink_default`` by default.
    """

    conn_name_attr = "evolink_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "evolink"
    hook_name = "EvoLink"

    def __init__(self, evolink_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.evolink_conn_id = evolink_conn_id
        self._known_files: KnownFiles = {}

    @cached_property
    def settings(self) -> Settings:
        """The connection's settings, looked up once per hook.

        :raises ConnectionNotFoundError: there is no such connection, or this process may not use it.
        :raises ConfigurationError: it can't be used; the message names the field and the reason.
        """
        with one_airflow_request(), _reporting_missing(self.evolink_conn_id):
            connection = self.get_connection(self.evolink_conn_id)
        return settings_from(self.evolink_conn_id, connection)

    @property
    def is_loopback(self) -> bool:
        """Whether the API is on this machine, as the emulator is."""
        return self.settings.is_loopback

    def prepare(
        self,
        model: str,
        parameters: Mapping[str, Any],
        *,
        media_type: str | None = None,
        upload: UploadPolicy = "auto",
    ) -> GenerationRequest:
        """Validate a submission and build the request; nothing is sent.

        :param model: model id.
        :param parameters: the model's parameters as EvoLink documents them. Images, videos and audio files may be
            links, data URLs, base64, local paths, storage URIs or records of earlier generations. Links may point to
            this machine only if the connection's host does.
        :param media_type: ``video``, ``image`` or ``audio``, for a model that this package does not know.
        :param upload: which media get a link, before the request is sent: those that the model does not take
            themselves (``auto``), all that are not links (``always``), or none (``never``: they are refused).
        :raises InvalidInputError: EvoLink would reject it; the message names the parameter.
        :raises UnreadableInputError: a file can't be read, or the link of a result has died.
        :raises ConnectionError, TimeoutError: a storage can't be reached at the moment.
        :raises ConfigurationError: the connection can't be used.
        """
        # Imported here, since parsing a DAG file needs no validation.
        from airflow_provider_evolink.api import request
        from airflow_provider_evolink.hooks.storage_file import StorageFile
        from airflow_provider_evolink.media.resolver import MediaResolver

        loopback = self.is_loopback
        resolve = MediaResolver(StorageFile, upload=upload, allow_loopback=loopback, known_files=self._known_files)
        return request.prepare(model, parameters, media_type=media_type, allow_loopback=loopback, resolve_media=resolve)

    def submit(
        self, request: GenerationRequest, idempotency_key: str, *, media_links: Mapping[str, str] | None = None
    ) -> Submission:
        """Send a paid submission, exactly once; nothing but the caller remembers it, not even inside a task.

        To send it again, as after a crash, repeat the call with the same request and the same idempotency key: EvoLink
        then returns the generation that it has made (undocumented; its own clients rely on it). The body has to be the
        same, too. A file that another process uploads again has another link, and EvoLink rejects the repetition
        (:class:`IdempotencyConflictError`; nothing is charged). So keep the links as well::

            links = hook.media_links(request)  # store them beside the idempotency key
            hook.submit(request, idempotency_key, media_links=links)

        :meth:`generate` remembers all of that in the ledger of its task.

        :param request: made by :meth:`prepare`.
        :param idempotency_key: 16 to 96 characters of ``[A-Za-z0-9._-]``; use the same one to send the same request
            again.
        :param media_links: the links of its pending media, as :meth:`media_links` has returned them; ``None`` = that
            method is called here, which uploads what this process has not uploaded yet.
        :return: the accepted generation, and whether EvoLink recognized the idempotency key.
        :raises InvalidInputError: the idempotency key has another form, or a link is missing; nothing was uploaded or
            sent.
        :raises ApiError: EvoLink rejected it, or failed.
        :raises NotSentError: the request never left this machine; nothing was charged.
        :raises ConnectionLostError, InvalidResponseError: it may have been accepted and charged.
        """
        from airflow_provider_evolink.api.idempotency import check_idempotency_key
        from airflow_provider_evolink.execution.credits_check import count_submission

        check_idempotency_key(idempotency_key)
        links = self.media_links(request) if media_links is None else media_links
        try:
            body = request.with_links(links)
        except KeyError as error:
            allowed = f"what media_links() has returned for this request; it lacks {error}"
            raise InvalidInputError("media_links", list(links), allowed) from None
        submission = self._run(lambda client: client.submit(request.endpoint, body, idempotency_key))
        count_submission(self, submission)
        return submission

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

    def list_generations(
        self,
        *,
        since: datetime | None = None,
        status: str = "completed",
        model: str | None = None,
        limit: int = 1000,
    ) -> list[Generation]:
        """List the account's generations, newest first, whoever submitted them; free, a request for every 50.

        The list is undocumented; it is known from EvoLink's own clients. It has no links: :meth:`get_generations` does.

        :param since: earliest time of submission, with a time zone; ``None`` = all that EvoLink still has.
        :param status: ``completed``, ``processing`` (which includes queued ones), ``failed`` or ``cancelled``.
        :param model: only this model's.
        :param limit: the most to return, 1 to 10,000.
        :raises InvalidInputError: a value is not allowed; nothing was sent.
        :raises EvoLinkError: the list could not be read.
        """
        from airflow_provider_evolink.api.task_list import read_list

        if since is not None and since.tzinfo is None:
            raise InvalidInputError("since", since.isoformat(), "a time with a time zone")
        earliest = None if since is None else since.timestamp()
        return self._run(
            lambda client: read_list(
                lambda number: client.task_page(number, status=status, model=model), since=earliest, limit=limit
            )
        )

    def count_generations(self, *, status: str, model: str | None = None) -> int:
        """Count the account's generations of a status; free, one request. See :meth:`list_generations`.

        :return: at least so many, if EvoLink does not report the total.
        """
        page = self._run(lambda client: client.task_page(1, status=status, model=model))
        return len(page.generations) if page.total is None else page.total

    def get_credits(self) -> Credits:
        """Read the remaining credits of the API key and of the account; free."""
        return self._run(lambda client: client.credits())

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

    def _connected(self) -> Connected:
        from airflow_provider_evolink.execution.generation_call import Connected

        conn_id = self.evolink_conn_id
        return Connected(self, reopen=lambda: EvoLinkHook(conn_id), look_up=lambda: EvoLinkHook(conn_id).settings)

    def _run(self, operation: Callable[[EvoLinkClient], Coroutine[Any, Any, T]]) -> T:
        from airflow_provider_evolink.api.client import EvoLinkClient, run

        settings = self.settings

        async def connect_and_run() -> T:
            async with EvoLinkClient(settings, attempts=_ATTEMPTS) as client:
                return await operation(client)

        try:
            return run(connect_and_run)
        except EvoLinkError as error:
            error.conn_id = self.evolink_conn_id
            raise


async def async_settings(evolink_conn_id: str) -> Settings:
    """Look up a connection from an event loop, without blocking it.

    :raises ConnectionNotFoundError: there is no such connection, or this process may not use it.
    :raises ConfigurationError: it can't be used; the message names the field and the reason.
    """
    with _reporting_missing(evolink_conn_id):
        connection = await get_async_connection(evolink_conn_id, hook=EvoLinkHook)
    return settings_from(evolink_conn_id, connection)


@contextmanager
def _reporting_missing(evolink_conn_id: str) -> Iterator[None]:
    try:
        yield
    except CONNECTION_NOT_FOUND as error:
        # Airflow's own text adds something only if access was denied.
        reason = "" if isinstance(error, AirflowNotFoundException) else f" ({error})"
        raise ConnectionNotFoundError(
            f"Connection {evolink_conn_id!r} was not found by this process{reason}. {how_to_define(evolink_conn_id)} "
            "Its type is evolink, its password the API key. Nothing was sent.",
            advice="A retry fails too until it is there.",
        ) from error
