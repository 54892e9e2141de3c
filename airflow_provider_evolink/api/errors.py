# SPDX-License-Identifier: Apache-2.0
"""
What can go wrong, by what the caller must do about it.

::

    EvoLinkError
    ├── InvalidInputError          mend the input; nothing was sent
    │   ├── UnreadableInputError        it is not there, or not readable
    │   └── LandingInputError           with it nothing can be landed
    ├── ConfigurationError         mend the connection; nothing was sent
    ├── ApiError                   EvoLink answered with an error
    │   ├── BadRequestError        400, 404, 405, 413, 415, 422: mend the request
    │   ├── AuthenticationError    401: mend the API key
    │   ├── InsufficientCreditsError  402: top up, or raise the key's limit
    │   ├── AccessDeniedError      403: ask for access to the model
    │   ├── GenerationNotFoundError   404 for a generation: wrong account, or too old
    │   ├── IdempotencyConflictError  409: the key was used for another request
    │   ├── RateLimitedError       429: wait, then try again
    │   └── ServerError            408, 425, 5xx: try again later
    ├── NotSentError               the request never left; try again
    ├── ConnectionLostError        the answer was lost; what happened is not known
    ├── InvalidResponseError       an answer that is none (HTML, broken JSON, wrong types)
    ├── SubmissionUnknownError     a paid request was sent and its answer lost
    │   └── SubmissionAbandonedError    and it may not be sent again
    ├── StaleRequestError          the request changed after it had been paid
    ├── GenerationLostError        EvoLink has dropped a generation that was paid for
    ├── GenerationFailedError      EvoLink could not make it; a new submission may succeed
    │   ├── PermanentGenerationFailedError  the same request would fail again
    │   └── GenerationCancelledError    it was cancelled at EvoLink
    ├── GenerationTimeoutError     not finished in time; it goes on at EvoLink
    ├── PollingFailedError         EvoLink could not be asked for too long; it goes on
    ├── ResultMissingError         completed and charged, and no link to what was made
    └── LandingError               the result is there, but could not be saved
        ├── ResultExpiredError     its link has died
        ├── ResultCorruptError     the bytes are not the media that was promised
        ├── ResultRefusedError     the link is not safe to follow
        ├── FileConflictError      another file lies under the result's name
        └── StorageRefusedError    the storage refuses the connection, or has no such bucket

``permanent`` tells whether another try of the same request is pointless.
"""

from __future__ import annotations

import reprlib
from typing import ClassVar

NOTHING_LANDED = "This try has fetched nothing and paid for nothing."
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def shorten(value: object) -> str:
    """Print a value for an error, shortened, however large or deep it is."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # an integer of more than 4,300 digits, which Python refuses to print
        return f"a {type(value).__name__}"


class EvoLinkError(Exception):
    """
    The root of every failure this package raises.

    :param message: what happened, what it cost and what a retry will do.
    :param generation_id: the generation concerned, if there is one.
    :param retry_after: seconds after which the server asked to be tried again, if it did.
    """

    permanent: ClassVar[bool] = False
    generation_id: str | None = None
    retry_after: float | None = None

    def __init__(self, message: str, *, generation_id: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.generation_id = generation_id
        self.retry_after = retry_after


class InvalidInputError(EvoLinkError):
    """
    A value that EvoLink would refuse; nothing was sent and nothing charged.

    :param parameter: the parameter's name, dotted when nested.
    :param value: the value given; shortened in the text.
    :param allowed: what may be given instead, in words.

    ``refusal`` is the text without its end, for a task that has sent something before.
    """

    permanent = True
    consequence: ClassVar[str] = "Nothing was sent, nothing was charged."

    def __init__(self, parameter: str, value: object, allowed: str) -> None:
        self.parameter = parameter
        self.allowed = allowed
        self.refusal = f"`{parameter}`={shorten(value)} is invalid: must be {allowed}."
        super().__init__(f"{self.refusal} {self.consequence}")


class UnreadableInputError(InvalidInputError):
    """A file that can't be read, so that it can't be sent; nothing was charged by this try."""


class LandingInputError(InvalidInputError):
    """A value with which nothing can be landed. What is made stays made and paid for; this try did neither."""

    consequence = NOTHING_LANDED


class ConfigurationError(EvoLinkError):
    """A connection that can't be used as it is; nothing was sent."""

    permanent = True


class ConnectionNotFoundError(ConfigurationError):
    """A connection that is not there, or not for the process that looked; nothing was sent."""


class ApiError(EvoLinkError):
    """
    An error that EvoLink answered with.

    :param message: the whole text.
    :param status: HTTP status.
    :param code: EvoLink's error code, such as ``insufficient_quota``.
    :param error_type: EvoLink's error type, such as ``rate_limit_error``.
    :param detail: EvoLink's own message.
    :param request_id: what EvoLink's support asks for.
    :param retry_after: seconds to wait, if the server said so.
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
    ) -> None:
        super().__init__(message, generation_id=generation_id, retry_after=retry_after)
        self.status = status
        self.code = code
        self.type = error_type
        self.detail = detail
        self.request_id = request_id


class BadRequestError(ApiError):
    """400 and its like: EvoLink refuses the request as it is. A retry is refused again."""

    permanent = True


class AuthenticationError(ApiError):
    """401: the API key is missing, wrong or expired. A retry fails until the connection is mended."""

    permanent = True


class InsufficientCreditsError(ApiError):
    """402: the account or the key has too few credits. A retry fails until it is topped up."""

    permanent = True


class AccessDeniedError(ApiError):
    """403: the key may not use this model or endpoint. A retry is denied again."""

    permanent = True


class GenerationNotFoundError(ApiError):
    """404 for a generation: another account's, mistyped, or so old that EvoLink has dropped it."""

    permanent = True


class IdempotencyConflictError(ApiError):
    """409: this idempotency key was used for another request (undocumented; from EvoLink's clients)."""

    permanent = True


class RateLimitedError(ApiError):
    """429: too many requests; nothing was done. A retry after ``retry_after`` seconds may pass."""


class ServerError(ApiError):
    """5xx, 408 or 425: EvoLink's side failed. A retry later may pass."""


class NotSentError(EvoLinkError):
    """The request provably never left this machine; nothing was charged. A retry is safe."""


class ConnectionLostError(EvoLinkError):
    """The connection broke before the answer came; what EvoLink did is not known."""


class InvalidResponseError(EvoLinkError):
    """EvoLink (or something between) answered with what its documents rule out."""


class SubmissionUnknownError(EvoLinkError):
    """A paid request was sent and its answer lost. A retry sends the same again under the same key."""


class SubmissionAbandonedError(SubmissionUnknownError):
    """A paid request was sent, its answer lost, and it may not be sent again before a person has decided."""

    permanent = True


class StaleRequestError(EvoLinkError):
    """The request changed after an earlier try had already paid for another one."""

    permanent = True


class GenerationLostError(EvoLinkError):
    """EvoLink does not know a generation any more that an earlier try has paid for. A retry finds the same."""

    permanent = True


class GenerationFailedError(EvoLinkError):
    """
    EvoLink could not make the generation.

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
    """The generation was not finished in time; it goes on at EvoLink. A retry looks once more."""


class PollingFailedError(EvoLinkError):
    """EvoLink could not be asked for too long; the generation goes on. A retry asks again."""


class ResultMissingError(EvoLinkError):
    """
    EvoLink completed a generation whose answer has no link to a result.

    It stays paid for. A retry reads it again, since a later answer may have the links, and submits nothing.
    """


class LandingError(EvoLinkError):
    """A result could not be saved. A retry saves it again and never generates it again."""


class ResultExpiredError(LandingError):
    """The result's link has died. A retry can't bring it back."""

    permanent = True


class ResultCorruptError(LandingError):
    """What came is not the media that was promised. A retry fetches it again."""


class ResultRefusedError(LandingError):
    """The link leads where this package must not follow. A retry is refused again."""

    permanent = True


class FileConflictError(LandingError):
    """Another file lies under the result's name. A retry finds the same until it is moved or may be replaced."""

    permanent = True


class StorageRefusedError(LandingError):
    """The storage has no such bucket or folder, or refuses the connection. A retry is refused again."""

    permanent = True
