# SPDX-License-Identifier: Apache-2.0
"""Everything that can go wrong, grouped by what you have to do about it.

::

    EvoLinkError
    ├── InvalidInputError          fix the input; nothing was sent
    │   ├── UnreadableInputError        the input file is missing or can't be read
    │   └── LandingInputError           fix the landing's input; the generation stays paid for
    ├── InvalidRowsError           fix the batch's rows; nothing was sent
    ├── ConfigurationError         fix the Airflow connection; nothing was sent
    │   └── ConnectionNotFoundError     create it, or make it visible to this process
    │       └── InputConnectionNotFoundError  the same, of the storage that an input is read from
    ├── ApiError                   EvoLink responded with an error
    │   ├── BadRequestError        400, 404, 405, 413, 415, 422: fix the request
    │   ├── AuthenticationError    401: fix the API key
    │   ├── InsufficientCreditsError  402: top up, or raise the API key's limit
    │   ├── AccessDeniedError      403: ask for access to the model
    │   ├── GenerationNotFoundError   404 for a generation: wrong account, or too old
    │   ├── IdempotencyConflictError  409: the idempotency key belongs to another request
    │   ├── RateLimitedError       429: wait, then retry
    │   └── ServerError            408, 425, 5xx: retry later
    ├── CreditsBelowMinimumError   fewer credits are left than `min_credits_left`; nothing was sent
    ├── CreditsUnknownError        the credits left could not be read; nothing was sent
    ├── NotSentError               the request never left this machine; retry
    ├── ConnectionLostError        the response was lost; the outcome is unknown
    ├── InvalidResponseError       the response breaks the API's contract (HTML, broken JSON, wrong types)
    ├── SubmissionUnknownError     a paid request was sent and its response lost
    │   └── SubmissionAbandonedError    and it must not be sent again until a person has decided
    ├── LedgerError                what was paid for could not be read or recorded; retry
    ├── StaleRequestError          the request changed after it had been paid for
    ├── GenerationLostError        EvoLink no longer knows a generation that was paid for
    ├── GenerationFailedError      EvoLink could not make it; a new submission may succeed
    │   ├── PermanentGenerationFailedError  the same request would fail again
    │   └── GenerationCancelledError    it was cancelled at EvoLink
    ├── GenerationTimeoutError     not finished in time; still running at EvoLink
    ├── PollingFailedError         EvoLink was unreachable for too long; still running there
    ├── ResultMissingError         completed and charged, but without a link to the result
    └── LandingError               the result exists but could not be saved
        ├── ResultExpiredError     its link has expired
        ├── ResultCorruptError     the bytes are not of the expected media type
        ├── ResultRefusedError     the link is not safe to follow
        ├── FileConflictError      another file already has the result's name
        └── StorageRefusedError    the storage denies access, or has no such bucket

An error is ``permanent`` if retrying the same request is pointless.
"""

from __future__ import annotations

from airflow_provider_evolink.api.base_error import EvoLinkError as EvoLinkError
from airflow_provider_evolink.api.input_errors import InvalidInputError as InvalidInputError
from airflow_provider_evolink.api.input_errors import InvalidRowsError as InvalidRowsError
from airflow_provider_evolink.api.input_errors import LandingInputError as LandingInputError
from airflow_provider_evolink.api.input_errors import UnreadableInputError as UnreadableInputError


class ConfigurationError(EvoLinkError):
    """An Airflow connection that can't be used. Nothing was sent; a retry fails until the connection is fixed."""

    permanent = True


class ConnectionNotFoundError(ConfigurationError):
    """An Airflow connection that does not exist, or not for the process that looked it up. Nothing was sent.

    A retry fails until the connection is defined. It is not ruled out, since Airflow reports the same when its secrets
    backend can't be reached.
    """

    permanent = False


class InputConnectionNotFoundError(ConnectionNotFoundError, ConnectionError):
    """The connection of the storage that an input is read from does not exist, or not for this process.

    Nothing was sent; a retry fails until the connection is defined. What an earlier try has paid for is resumed without
    the input.
    """


class ApiError(EvoLinkError):
    """An error response from EvoLink; the subclass says what a retry does.

    :param message: what happened and what it cost.
    :param status: HTTP status.
    :param code: EvoLink's error code, such as ``insufficient_quota``.
    :param error_type: EvoLink's error type, such as ``rate_limit_error``.
    :param detail: EvoLink's own message.
    :param request_id: the id that EvoLink's support asks for.
    :param retry_after: seconds to wait before a retry, if the server gave them.
    :param generation_id: the generation concerned, if there is one.
    :param advice: what a retry does.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        error_type: str | None = None,
        detail: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        generation_id: str | None = None,
        advice: str = "",
    ) -> None:
        super().__init__(message, advice=advice, generation_id=generation_id, retry_after=retry_after)
        self.status = status
        self.code = code
        self.type = error_type
        self.detail = detail
        self.request_id = request_id


class BadRequestError(ApiError):
    """400, 404, 405, 413, 415 or 422: EvoLink rejects the request as it is. A retry is rejected again."""

    permanent = True


class AuthenticationError(ApiError):
    """401: the API key is missing, wrong or expired. A retry fails until the Airflow connection is fixed."""

    permanent = True


class InsufficientCreditsError(ApiError):
    """402: the account or the API key has too few credits. A retry fails until you top up or raise the limit."""

    permanent = True


class AccessDeniedError(ApiError):
    """403: the API key may not use this model or endpoint. A retry is denied again."""

    permanent = True


class GenerationNotFoundError(ApiError):
    """404 for a generation: it belongs to another account, is mistyped, or so old that EvoLink has dropped it.

    A retry finds the same, unless a ``timeout`` left no time to confirm that: then a retry reads again.
    """

    permanent = True


class IdempotencyConflictError(ApiError):
    """409: the idempotency key was used for another request (undocumented; known from EvoLink's clients).

    A retry is rejected again.
    """

    permanent = True


class RateLimitedError(ApiError):
    """429: too many requests; EvoLink did nothing. A retry may succeed after ``retry_after`` seconds."""


class ServerError(ApiError):
    """408, 425 or 5xx: EvoLink failed. A later retry may succeed."""


class CreditsBelowMinimumError(EvoLinkError):
    """Fewer credits are left than ``min_credits_left``. Nothing was sent; a retry reads them again.

    :param remaining: credits left, of the account or of the API key, whichever has fewer.
    :param minimum: ``min_credits_left``.
    :param price: credits expected of the next submission, if that is known.
    """

    charged = False

    def __init__(self, remaining: float, minimum: float, price: float | None = None) -> None:
        cost = "" if price is None else f", and the next submission is expected to take {price:.10g}"
        super().__init__(
            f"`min_credits_left`={minimum:.10g}, but {remaining:.10g} credits are left{cost}. Nothing more was sent, "
            "and nothing was charged for it.",
            advice="A retry, or a clear of this task, reads the credits again and submits once there are enough.",
        )
        self.remaining = remaining
        self.minimum = minimum


class CreditsUnknownError(EvoLinkError):
    """The credits left could not be read, for ``min_credits_left``. Nothing was sent; a retry reads them again."""

    charged = False


class NotSentError(EvoLinkError):
    """The request provably never left this machine; nothing was charged. A retry is safe."""


class ConnectionLostError(EvoLinkError):
    """The connection broke before the response arrived; what EvoLink did is unknown."""


class InvalidResponseError(EvoLinkError):
    """EvoLink, or something in between, sent a response that its documentation rules out."""


class SubmissionUnknownError(EvoLinkError):
    """A paid request was sent and its response lost. A retry resends it under the same idempotency key."""


class SubmissionAbandonedError(SubmissionUnknownError):
    """A paid request was sent and its response lost; it must not be sent again until a person has decided."""

    permanent = True


class LedgerError(EvoLinkError):
    """The task's ledger could not be read or written. Nothing is sent without it; a retry reads it again."""


class StaleRequestError(EvoLinkError):
    """The request changed after an earlier attempt paid for another, or two requests of a task share a key.

    A retry fails until the request is restored, or each has a key of its own.
    """

    permanent = True


class GenerationLostError(EvoLinkError):
    """EvoLink no longer knows a generation that an earlier attempt paid for. A retry finds the same."""

    permanent = True


class GenerationFailedError(EvoLinkError):
    """EvoLink could not make the generation. A retry submits it again, as a new one.

    :param code: EvoLink's task error code, such as ``content_policy_violation``.
    :param detail: EvoLink's own message.
    """

    def __init__(self, message: str, *, generation_id: str, code: str | None = None, detail: str | None = None) -> None:
        super().__init__(message, generation_id=generation_id)
        self.code = code
        self.detail = detail


class PermanentGenerationFailedError(GenerationFailedError):
    """EvoLink could not make the generation, and the same request would fail again."""

    permanent = True


class GenerationCancelledError(GenerationFailedError):
    """The generation was cancelled at EvoLink. A retry submits it again, as a new one."""


class GenerationTimeoutError(EvoLinkError):
    """The generation did not finish in time; it keeps running at EvoLink. A retry checks on it once more."""


class PollingFailedError(EvoLinkError):
    """EvoLink was unreachable for too long; the generation keeps running there. A retry resumes polling."""


class ResultMissingError(EvoLinkError):
    """EvoLink completed a generation, but its response has no link to a result.

    The generation stays paid for. A retry submits nothing; it reads the generation again, since a later response
    may have the links.
    """


class LandingError(EvoLinkError):
    """A result could not be saved. A retry saves it again and never pays for another generation."""


class ResultExpiredError(LandingError):
    """The link to the result has expired. A retry can't bring it back."""

    permanent = True


class ResultCorruptError(LandingError):
    """The downloaded bytes are not of the expected media type. A retry downloads them again."""


class ResultRefusedError(LandingError):
    """The link leads where this package must not follow. A retry is refused again."""

    permanent = True


class FileConflictError(LandingError):
    """Another file already has the result's name. A retry fails until it is moved or may be replaced."""

    permanent = True


class StorageRefusedError(LandingError):
    """The storage has no such bucket or folder, or denies access. A retry fails until that is fixed."""

    permanent = True
