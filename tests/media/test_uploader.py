# SPDX-License-Identifier: Apache-2.0
"""The links of a request's media: what is uploaded, how often, and what becomes of a failure."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from airflow_provider_evolink.api import errors
from airflow_provider_evolink.api.client import EvoLinkClient
from airflow_provider_evolink.api.files import MAX_UPLOAD_BYTES
from airflow_provider_evolink.api.pending_media import PendingMedia
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.media.known_links import KnownLinks, known_links
from airflow_provider_evolink.media.uploader import CONCURRENCY, Uploader
from tests.loopback import settings_for

pytestmark = pytest.mark.usefixtures("no_pauses")

PICTURE = (Path(__file__).parent.parent / "data" / "frame.png").read_bytes()
HOUR = 3600.0
Open = Callable[[], BinaryIO]


def pending(
    content: bytes = PICTURE, *, parameter: str = "image_urls[0]", opened: Open | None = None, **fields: Any
) -> PendingMedia:
    """Return media with some content."""
    return PendingMedia(
        identity=f"sha256:{hashlib.sha256(content).hexdigest()}",
        parameter=parameter,
        source="s3://bucket/a.png",
        content_type="image/png",
        open=opened or (lambda: io.BytesIO(content)),
        **fields,
    )


def result(link: str | None = "https://files.test/r.png", *, lives: float | None, **fields: Any) -> PendingMedia:
    """Return the result of an earlier generation."""
    expires_at = None if lives is None else time.time() + lives
    return PendingMedia("generation:task-1/0", "image_urls[0]", "a result", None, None, link, expires_at, **fields)


@pytest.fixture
async def files_client(evolink_emulator: EmulatorHandle) -> AsyncIterator[EvoLinkClient]:
    """A client of the emulator that repeats what fails transiently."""
    async with EvoLinkClient(settings_for(evolink_emulator), attempts=4) as client:
        yield client


@pytest.fixture
def uploader(files_client: EvoLinkClient) -> Uploader:
    """An uploader that knows no link yet."""
    return Uploader(files_client.files.upload, KnownLinks())


def stored(emulator: EmulatorHandle) -> list[dict[str, Any]]:
    """Return what was uploaded."""
    found: list[dict[str, Any]] = emulator.control.state()["uploads"]
    return found


async def test_one_content_is_uploaded_once(uploader: Uploader, evolink_emulator: EmulatorHandle) -> None:
    """A thousand concurrent requests with one picture take one upload, and so do later ones."""
    media = [pending(parameter=f"image_urls[{number}]") for number in range(1000)]
    found = await asyncio.gather(*(uploader.links_for([each]) for each in media))
    found.append(await uploader.links_for(media))

    assert len(stored(evolink_emulator)) == 1
    assert len({links.links[media[0].identity] for links in found}) == 1
    assert all(71 * HOUR < links.expire_at - time.time() < 73 * HOUR for links in found)


async def test_the_process_remembers_by_account(files_client: EvoLinkClient, evolink_emulator: EmulatorHandle) -> None:
    """Another uploader of the same account in this process knows the link; one of another account does not."""
    settings = settings_for(evolink_emulator)
    media = pending(PICTURE + b"\0")
    first, second = [await Uploader.of(files_client).links_for([media]) for _ in range(2)]

    assert first == second
    assert len(stored(evolink_emulator)) == 1
    assert known_links(settings).get(media.identity, now=time.time()) is not None
    other = settings_for(evolink_emulator).__class__(settings.base_url, "sk-of-another-account")
    assert known_links(other).get(media.identity, now=time.time()) is None


@pytest.mark.parametrize(("hours_left", "count"), [(1.1, 0), (0.9, 1), (-5.0, 1)])
async def test_a_link_is_renewed_in_its_last_hour(
    files_client: EvoLinkClient, evolink_emulator: EmulatorHandle, hours_left: float, count: int
) -> None:
    """A link from an earlier worker is sent until an hour before its end; then the content is uploaded again."""
    media, known = pending(), KnownLinks()
    known.put_all({media.identity: "https://files.test/old.png"}, time.time() + hours_left * HOUR)

    found = await Uploader(files_client.files.upload, known).links_for([media])

    assert len(stored(evolink_emulator)) == count
    assert (found.links[media.identity] == "https://files.test/old.png") is (count == 0)


def test_of_two_links_the_one_that_lives_longer_is_kept() -> None:
    """An earlier worker's link does not replace a newer one."""
    known = KnownLinks()
    known.put("a", "new", time.time() + 50 * HOUR)
    known.put_all({"a": "old"}, time.time() + 9 * HOUR)

    assert (known.get("a", now=time.time()) or ("", 0))[0] == "new"


@pytest.mark.parametrize(
    ("media", "uploads"),
    [
        (result(lives=2 * HOUR), 0),
        (result(lives=2 * HOUR, open=lambda: io.BytesIO(PICTURE)), 0),
        (result(lives=-1.0, open=lambda: io.BytesIO(PICTURE)), 1),
        (result(lives=None), 0),
        (result(None, lives=None, open=lambda: io.BytesIO(PICTURE)), 1),
    ],
)
async def test_a_result_is_sent_by_its_link(
    uploader: Uploader, evolink_emulator: EmulatorHandle, media: PendingMedia, uploads: int
) -> None:
    """A result goes by its own link while that lives, then by an upload of its file."""
    found = await uploader.links_for([media])

    assert len(stored(evolink_emulator)) == uploads
    assert (found.links[media.identity] == media.link) is (uploads == 0)


async def test_a_landed_file_that_was_replaced(uploader: Uploader, evolink_emulator: EmulatorHandle) -> None:
    """Another content under the landed file's name, as of a later run, is not paid for as if it were the result."""
    media = result(lives=-1.0, open=lambda: io.BytesIO(PICTURE), landed_sha256="0" * 64)
    with pytest.raises(errors.UnreadableInputError, match="another has replaced it") as caught:
        await uploader.links_for([media])

    assert caught.value.charged is False
    assert stored(evolink_emulator) == []


async def test_a_dead_result(uploader: Uploader) -> None:
    """A result whose link is dead and that never landed can't be sent, and the error names the parameter."""
    with pytest.raises(errors.UnreadableInputError, match=r"`image_urls\[0\]`='a result'.*This attempt sent nothing"):
        await uploader.links_for([result(lives=-1.0)])


async def test_a_transient_failure_is_repeated_and_forgotten(
    uploader: Uploader, evolink_emulator: EmulatorHandle
) -> None:
    """After four attempts the error says what it concerned, that nothing was charged, and the next try uploads."""
    evolink_emulator.control.inject("server_error", on="upload", times=4, status=503)
    outcomes = await asyncio.gather(*(uploader.links_for([pending()]) for _ in range(3)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {errors.ServerError}
    for part in ("s3://bucket/a.png", "`image_urls[0]`", "nothing was charged", "A later retry may succeed"):
        assert part in str(outcomes[0])
    await uploader.links_for([pending()])
    assert evolink_emulator.control.state()["requests"]["upload"] == 5


async def test_a_rejected_content_is_not_sent_again(uploader: Uploader, evolink_emulator: EmulatorHandle) -> None:
    """A content that EvoLink has rejected costs each later request an error, but no request."""
    evolink_emulator.control.inject("http_error", on="upload", status=413)
    for _ in range(3):
        with pytest.raises(errors.BadRequestError, match=r"`image_urls\[0\]`.*nothing was charged.*95 MB"):
            await uploader.links_for([pending()])

    assert evolink_emulator.control.state()["requests"]["upload"] == 1
    assert len((await uploader.links_for([pending(PICTURE + b"\0")])).links) == 1


async def test_one_failure_leaves_the_others(uploader: Uploader, evolink_emulator: EmulatorHandle) -> None:
    """Of concurrent requests only that fails whose file can't be uploaded."""

    def missing() -> BinaryIO:
        raise FileNotFoundError(2, "No such file")

    media = [pending(PICTURE + bytes([number])) for number in range(3)]
    media.insert(1, pending(b"?", opened=missing))
    outcomes = await asyncio.gather(*(uploader.links_for([each]) for each in media), return_exceptions=True)

    assert [isinstance(outcome, errors.UnreadableInputError) for outcome in outcomes] == [False, True, False, False]
    assert len(stored(evolink_emulator)) == 3


@pytest.mark.parametrize(
    ("content", "match"), [(b"changed", "has changed"), (PICTURE[:-1], "has changed"), (b"", "not empty")]
)
async def test_a_file_that_has_changed_is_not_sent(
    uploader: Uploader, evolink_emulator: EmulatorHandle, content: bytes, match: str
) -> None:
    """A content other than the one that the request was made of is not sent under its name."""
    with pytest.raises(errors.EvoLinkError, match=match) as caught:
        await uploader.links_for([pending(opened=lambda: io.BytesIO(content))])

    assert caught.value.permanent is (content == b"")
    assert stored(evolink_emulator) == []


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (FileNotFoundError(2, "No such file"), True),
        (ImportError("s3fs"), True),
        (ConnectionResetError("reset"), False),
        (TimeoutError("timed out"), False),
        (RuntimeError("of a storage's client"), False),
    ],
)
async def test_a_file_that_cannot_be_read(uploader: Uploader, error: Exception, permanent: bool) -> None:
    """What opens the file decides whether a retry helps; nothing was charged in any case."""

    def fail() -> BinaryIO:
        raise error

    with pytest.raises(errors.EvoLinkError, match=r"`image_urls\[0\]`='s3://bucket/a.png'") as caught:
        await uploader.links_for([pending(opened=fail)])
    assert caught.value.permanent is permanent
    assert ("cost nothing" if permanent else "charged") in str(caught.value)


async def test_a_file_that_grew_too_large(uploader: Uploader, tmp_path: Path) -> None:
    """A file of more than 95 MB is refused by name before anything is sent."""
    large = tmp_path / "a.mp4"
    with large.open("wb") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1)

    with pytest.raises(errors.InvalidInputError, match=r"`image_urls\[0\]`.*95 MB"):
        await uploader.links_for([pending(opened=lambda: large.open("rb"))])


async def test_few_files_are_open_at_a_time(uploader: Uploader, evolink_emulator: EmulatorHandle) -> None:
    """However many files a wave has, a bounded number is read and sent at a time."""
    lock, count, most = threading.Lock(), 0, 0

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            time.sleep(0.005)
            return super().read(size)

        def close(self) -> None:
            nonlocal count
            with lock:
                count -= 1
            super().close()

    def opening(content: bytes) -> Open:
        def open_counted() -> BinaryIO:
            nonlocal count, most
            with lock:
                count += 1
                most = max(most, count)
            return Counted(content)

        return open_counted

    contents = [PICTURE + bytes([number]) for number in range(40)]
    await uploader.links_for([pending(content, opened=opening(content)) for content in contents])

    assert len(stored(evolink_emulator)) == 40
    assert 1 < most <= CONCURRENCY
