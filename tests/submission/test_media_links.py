# SPDX-License-Identifier: Apache-2.0
"""Paying once through uploads: which links are sent, when they are obtained, and what the ledger holds about them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.generation import Generation, Submission
from airflow_provider_evolink.api.pending_media import PendingMedia, placeholder
from airflow_provider_evolink.api.request import GenerationRequest
from airflow_provider_evolink.submission.decision import Policy
from airflow_provider_evolink.submission.ledger import Ledger
from airflow_provider_evolink.submission.media_links import ready_to_send
from airflow_provider_evolink.submission.record import STORE_KEY, LedgerRecord, Phase
from airflow_provider_evolink.submission.submitter import Submitter
from tests.operators.submissions import DyingStore, WorkerDied
from tests.task_harness import Store

MEDIA = PendingMedia("sha256:ab12", "image_urls[0]", "/pictures/a.png")
BODY = f'{{"image_urls":["{placeholder(MEDIA.identity)}"]}}'.encode()
REQUEST = GenerationRequest("some-model", "/v1/videos/generations", BODY, pending_media=(MEDIA,))
ACCEPTED = Submission(Generation(id="task-unified-1", status="pending"), replayed=False)
LOST = errors.ConnectionLostError("EvoLink's response to the submission was lost (ReadError).")
REJECTED = errors.InsufficientCreditsError("402. Nothing was charged.", status=402)
REFUSED = errors.BadRequestError("413. Nothing was charged.", status=413)


class Tries:
    """The tries of one task instance, each of whose uploads gives another link."""

    def __init__(self, store: Store | None = None, **policy: str) -> None:
        self.store = store or Store()
        self.policy = Policy(**policy)
        self.outcomes: list[Submission | Exception] = []
        self.bodies: list[bytes] = []
        self.uploads = 0
        self.upload_error: Exception | None = None
        self.remote = ACCEPTED.generation

    def run(self, *outcomes: Submission | Exception, request: GenerationRequest = REQUEST, max_tries: int = 0) -> Any:
        """Run a try whose sends end as planned."""
        self.outcomes = list(outcomes)
        ledger = Ledger(self.store, None)
        submitter = Submitter(
            ledger=ledger,
            send=self._send,
            read=lambda _: self.remote,
            policy=self.policy,
            log=logging.getLogger("submission"),
            on_submitted=lambda _: None,
            is_killed=lambda: False,
            upload=self._upload,
            sleep=lambda _: None,
        )
        return submitter.submit_or_resume(
            ledger.read(), request, str(request.body), try_number=1, max_tries=max_tries
        ).record

    def _upload(self, request: GenerationRequest) -> Mapping[str, str]:
        if self.upload_error is not None:
            raise self.upload_error
        self.uploads += bool(request.pending_media)
        return {media.identity: f"https://files.test/{self.uploads}.png" for media in request.pending_media}

    def _send(self, request: GenerationRequest, key: str) -> Submission:
        assert self.store.get(STORE_KEY)["phase"] == "intent"
        self.bodies.append(request.body)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def test_the_intent_has_the_links_before_the_request_is_sent() -> None:
    """What is sent has the links in place of the placeholders, and the intent has them first."""
    tries = Tries()

    record = tries.run(ACCEPTED)

    assert tries.bodies == [b'{"image_urls":["https://files.test/1.png"]}']
    assert [write["media_links"] for write in tries.store.writes] == [{"sha256:ab12": "https://files.test/1.png"}] * 2
    assert record.generation_id == "task-unified-1"


def test_a_replay_sends_the_same_body() -> None:
    """However often a response is lost, over several tries, the same bytes are sent and nothing is uploaded again."""
    tries = Tries()
    for _ in range(3):
        with pytest.raises(errors.SubmissionUnknownError):
            tries.run(LOST, LOST)
    tries.upload_error = REFUSED

    tries.run(ACCEPTED)

    assert (len(tries.bodies), len(set(tries.bodies)), tries.uploads) == (7, 1, 1)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [1, 2])
def test_a_crash_around_the_post(write: int, after: bool) -> None:
    """A worker that dies before its intent is durable uploads again; afterwards the same body is sent again."""
    tries = Tries(DyingStore(write, after=after))
    with pytest.raises(WorkerDied):
        tries.run(ACCEPTED)

    tries.run(ACCEPTED)

    has_intent = (write, after) != (1, False)
    assert tries.uploads == (1 if has_intent else 2)
    assert len(set(tries.bodies)) == 1


def test_a_new_submission_takes_new_links() -> None:
    """After a rejection, and for a generation that failed or is to be replaced, the links are obtained anew."""
    tries = Tries(on_clear="resubmit")
    with pytest.raises(errors.InsufficientCreditsError):
        tries.run(REJECTED)
    tries.run(ACCEPTED)
    tries.remote = replace(ACCEPTED.generation, status="failed", error_code="service_error")
    tries.run(ACCEPTED)

    assert tries.uploads == 3
    assert [body[-9:-3] for body in tries.bodies] == [b"/1.png", b"/2.png", b"/3.png"]


def test_a_failed_generation_keeps_no_links() -> None:
    """Once a generation has failed, its links are forgotten: they may be the reason."""
    tries = Tries()
    tries.run(ACCEPTED)
    tries.remote = replace(ACCEPTED.generation, status="failed", error_code="content_policy_violation")
    with pytest.raises(errors.PermanentGenerationFailedError):
        tries.run()

    assert "media_links" not in tries.store.get(STORE_KEY)


@pytest.mark.parametrize("known", [None, "withdrawn", "failed"])
def test_an_upload_that_fails_leaves_the_ledger_as_it_was(known: str | None) -> None:
    """Without the links nothing is written and nothing is sent, whatever the ledger held."""
    tries = Tries()
    if known == "withdrawn":
        with pytest.raises(errors.InsufficientCreditsError):
            tries.run(REJECTED)
    if known == "failed":
        tries.run(ACCEPTED)
        tries.remote = replace(ACCEPTED.generation, status="failed", error_code="service_error")
        with pytest.raises(errors.InsufficientCreditsError):
            tries.run(REJECTED)
    before, sent = tries.store.get(STORE_KEY, {}), len(tries.bodies)
    tries.upload_error = REFUSED

    with pytest.raises(errors.BadRequestError, match="413"):
        tries.run()

    after = tries.store.get(STORE_KEY, {})
    assert (after.get("phase"), len(tries.bodies)) == (known, sent)
    assert after.get("idempotency_key") == before.get("idempotency_key")
    tries.upload_error = None
    assert tries.run(ACCEPTED).generation_id == "task-unified-1"


def test_other_content_is_another_request() -> None:
    """A file that changed between two tries is a changed request: nothing is sent without the author's consent."""
    tries = Tries()
    tries.run(ACCEPTED)
    other = PendingMedia("sha256:cd34", "image_urls[0]", "/pictures/a.png")
    body = BODY.replace(b"ab12", b"cd34")

    with pytest.raises(errors.StaleRequestError):
        tries.run(request=replace(REQUEST, body=body, pending_media=(other,)))
    assert (len(tries.bodies), tries.uploads) == (1, 1)


def test_a_request_without_media_is_sent_as_it_is() -> None:
    """A request whose body is complete is sent as it is, and its record has no links."""
    tries = Tries()

    record = tries.run(ACCEPTED, request=replace(REQUEST, pending_media=()))

    assert tries.bodies == [BODY]
    assert record.media_links is None
    assert "media_links" not in tries.store.get(STORE_KEY)


def test_an_intent_that_lacks_a_link_is_not_sent() -> None:
    """An intent that was damaged does not make another body under the same idempotency key."""
    intent = LedgerRecord(Phase.INTENT, "fp", "airflow-key", 1, "some-model", 100.0, send_count=1)

    with pytest.raises(errors.LedgerError, match=r"sha256:ab12.*airflow-key.*Nothing was sent"):
        ready_to_send(REQUEST, intent)
    complete = ready_to_send(REQUEST, replace(intent, media_links={MEDIA.identity: "https://files.test/a.png"}))
    assert (complete.pending_media, complete.body) == ((), b'{"image_urls":["https://files.test/a.png"]}')
