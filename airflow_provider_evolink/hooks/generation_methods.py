# SPDX-License-Identifier: Apache-2.0
"""The methods of the hook that do what the operators do, from Python."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from airflow_provider_evolink.api.event_loop import in_daemon_thread
from airflow_provider_evolink.execution.calling_task import calling_task
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_evolink.execution.collecting_call import CollectingCall
    from airflow_provider_evolink.execution.generation_call import Connected
    from airflow_provider_evolink.execution.paying_call import GenerateOptions, PayingCall
    from airflow_provider_evolink.types import GenerationRecord, LandedFile


class GenerationMethods:
    """Generate, wait and land; each blocks, or is awaited under its name with ``_async``."""

    def generate(
        self,
        model: str,
        parameters: Mapping[str, Any],
        *,
        key: str,
        timeout: float | timedelta | None = None,
        **options: Unpack[GenerateOptions],
    ) -> GenerationRecord:
        """Submit a generation, wait for it, and return its record, as ``EvoLinkGenerateOperator`` does.

        Inside a task, such as a ``@task`` function, it is recorded in the task's ledger under ``key``: a retry, or a
        clear, resumes what is paid for under that key and submits nothing. Outside of a task nothing remembers it: a
        warning says so, and the generation's id is logged before the wait. It blocks, also a running event loop; there,
        await :meth:`generate_async`.

        :param model: EvoLink's model id.
        :param parameters: the model's parameters as EvoLink documents them.
        :param key: what names this generation within the task: 1 to 100 characters of ``A-Z``, ``a-z``, ``0-9``, ``_``
            and ``-``. Two keys are two generations; the same key in the next try is the same generation. In a loop,
            each generation needs a key of its own, which the next try gives it, too.
        :param timeout: seconds (or a ``timedelta``) from the submission, over all tries, after which it stops waiting;
            ``None`` = ``[evolink] default_timeout``, 30 minutes by default. The generation itself keeps running.
        :param options: ``poll_interval``, ``media_type``, ``upload``, ``on_unknown_submission``, ``on_clear``,
            ``on_changed_input`` and ``min_credits_left`` of ``EvoLinkGenerateOperator``.
        :raises InvalidInputError: a value is invalid, or another call with this key is running; nothing was sent.
        :raises StaleRequestError: the task has paid for another request under this key, in an earlier try or, whatever
            ``on_changed_input`` says, in this one.
        :raises GenerationFailedError: EvoLink could not make it; a retry submits a new one, unless it is permanent.
        :raises GenerationTimeoutError: it did not finish in time; a retry resumes it.
        :raises EvoLinkError: the submission was rejected, or its outcome is unknown; the message states what a retry
            does. With ``evolink_retry_policy()`` a task is not retried where that can't help.
        """
        return self._paying_call(model, parameters, key, timeout, options).run()

    async def generate_async(
        self,
        model: str,
        parameters: Mapping[str, Any],
        *,
        key: str,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - of the wait, over all tries
        **options: Unpack[GenerateOptions],
    ) -> GenerationRecord:
        """Do the same as :meth:`generate` without blocking the event loop; all waits in a loop share their requests."""
        return await self._paying_call(model, parameters, key, timeout, options).run_async()

    def wait(
        self,
        generation: str | Mapping[str, Any],
        *,
        timeout: float | timedelta | None = None,
        poll_interval: float | None = None,
    ) -> GenerationRecord:
        """Wait for a generation that was submitted elsewhere, and return its record; never submits, and costs nothing.

        :param generation: its id, or a record of it.
        :param timeout: seconds (or a ``timedelta``) from now; ``None`` = ``[evolink] default_timeout``. It bounds
            reads that fail, too; one that is under way then is not cut short.
        :param poll_interval: seconds between two polls, at least 1; ``None`` = adaptive.
        :raises GenerationNotFoundError: EvoLink does not know the id, and still did not after two minutes (a generation
            may be unknown for a minute after its submission, and a single 404 may be a gateway's), or ``timeout``.
        :raises GenerationFailedError: the generation failed; whoever submitted it has to submit it again.
        :raises GenerationTimeoutError: it did not end in time; a later call waits for it again.
        :raises EvoLinkError: it can't be read, or has no result.
        """
        return self._collecting_call(generation, timeout, poll_interval).run()

    async def wait_async(
        self,
        generation: str | Mapping[str, Any],
        *,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - it ends with an error that names the generation
        poll_interval: float | None = None,
    ) -> GenerationRecord:
        """Do the same as :meth:`wait` without blocking the event loop."""
        return await self._collecting_call(generation, timeout, poll_interval).run_async()

    def land(
        self,
        generation: str | Mapping[str, Any],
        destination: str | Path | ObjectStoragePath,
        filename_pattern: str = DEFAULT_PATTERN,
        *,
        on_existing: Literal["fail", "replace", "skip"] = "fail",
        asset_name: str | None = None,
    ) -> list[LandedFile]:
        """Copy every result of a generation to storage that you own, as ``EvoLinkToObjectStorageOperator`` does.

        Inside a task, a retry keeps what has landed, and the task's ``outlets`` get the asset events. Nothing is ever
        generated again.

        :param generation: its record, or its id, which costs a free read.
        :param destination: the target folder: an absolute path, a URI or an ``ObjectStoragePath``.
        :param filename_pattern: file name below ``destination``, ``{generation_id}/{index}.{ext}`` by default.
        :param on_existing: ``fail``, ``replace`` or ``skip``: what to do with another file of that name.
        :param asset_name: name of each file's asset, if the task's ``outlets`` have an ``AssetAlias``, such as
            ``videos/{generation_id}/{index}``; ``None`` = the file's URI.
        :raises LandingInputError: a value is invalid; nothing was downloaded.
        :raises LandingError: a result could not be downloaded or written; a later call lands what is missing.
        """
        from airflow_provider_evolink.execution.landing_call import land

        return land(self._connected().account, generation, destination, filename_pattern, on_existing, asset_name)

    async def land_async(
        self,
        generation: str | Mapping[str, Any],
        destination: str | Path | ObjectStoragePath,
        filename_pattern: str = DEFAULT_PATTERN,
        *,
        on_existing: Literal["fail", "replace", "skip"] = "fail",
        asset_name: str | None = None,
    ) -> list[LandedFile]:
        """Do the same as :meth:`land` without blocking the event loop: in a thread."""
        return await in_daemon_thread(
            lambda: self.land(generation, destination, filename_pattern, on_existing=on_existing, asset_name=asset_name)
        )

    def _paying_call(
        self,
        model: str,
        parameters: Mapping[str, Any],
        key: str,
        timeout: float | timedelta | None,
        options: GenerateOptions,
    ) -> PayingCall:
        from airflow_provider_evolink.execution.paying_call import PayingCall

        return PayingCall(self._connected(), calling_task(), model, parameters, key=key, timeout=timeout, **options)

    def _collecting_call(
        self, generation: str | Mapping[str, Any], timeout: float | timedelta | None, poll_interval: float | None
    ) -> CollectingCall:
        from airflow_provider_evolink.execution.collecting_call import CollectingCall

        return CollectingCall(
            self._connected(), calling_task(), generation, timeout=timeout, poll_interval=poll_interval
        )

    def _connected(self) -> Connected:
        """Return the account, and how to look it up again."""
        raise NotImplementedError
