# SPDX-License-Identifier: Apache-2.0
"""The landing of a result: name, checkpoint, renewed link, and what a failure leaves behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_evolink.api.errors import (
    AuthenticationError,
    ConnectionLostError,
    EvoLinkError,
    FileConflictError,
    GenerationNotFoundError,
    LandingError,
    ResultCorruptError,
    ResultExpiredError,
)
from airflow_provider_evolink.landing.checkpoint import STORE_KEY, Checkpoint, Landed
from airflow_provider_evolink.landing.download_budget import Limits
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, Result
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.local import part_prefix
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.storage_target import StorageTarget
from testkit.examples import GENERATION_ID
from tests.landing.media_server import MediaServer, mp4
from tests.landing.publishing import files_in

BODY = mp4(100_000)
ID = GENERATION_ID
LANDED = Landed(
    uri="",
    bytes=len(BODY),
    sha256=hashlib.sha256(BODY).hexdigest(),
    content_type="video/mp4",
    generation_id=ID,
    extension="mp4",
)


def no_link(_: Result) -> str | None:
    """EvoLink no longer lists a link."""
    return None


def lander(folder: Path, store: Any = None, renew: Callable[[Result], str | None] = no_link) -> Lander:
    """Return a lander for a folder."""
    return Lander(
        destination=StorageTarget(LocalFileSystem(), str(folder), "file"),
        pattern=DEFAULT_PATTERN,
        network=Network(allow_loopback=True, read_timeout=2),
        checkpoint=Checkpoint(store, timedelta(days=1)),
        renew=renew,
    )


def test_lands(media: MediaServer, tmp_path: Path) -> None:
    """A result lands under the name of the pattern, and the returned entry describes the file exactly."""
    result = Result(ID, 0, media.serve("/../evil%20name.exe", body=BODY))
    landed = lander(tmp_path).land(result)
    path = tmp_path / ID / "0.mp4"
    assert path.read_bytes() == BODY
    assert files_in(tmp_path) == [f"{ID}/0.mp4"]
    assert landed.entry() == {
        "uri": f"file://{path}",
        "bytes": len(BODY),
        "sha256": LANDED.sha256,
        "content_type": "video/mp4",
        "generation_id": ID,
        "storage_conn_id": None,
        "poster": None,
    }


def test_retry_does_not_download_again(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """A result that an earlier attempt has landed is skipped without a request, even if its link has died."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    first = lander(tmp_path, store).land(result)
    media.media.clear()
    assert lander(tmp_path, store).land(result) == first
    assert len(media.requests) == 1


def test_changed_file_is_not_replaced(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """A file that was changed after it landed is replaced only with ``on_existing="replace"``."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path, store).land(result)
    path = tmp_path / ID / "0.mp4"
    path.write_bytes(BODY[:-1] + b"!")
    with pytest.raises(FileConflictError, match=str(path)):
        lander(tmp_path, store).land(result)
    assert path.read_bytes() == BODY[:-1] + b"!"
    replace(lander(tmp_path, store), on_existing=OnExisting.REPLACE).land(result)
    assert path.read_bytes() == BODY


def test_lost_file_is_landed_again(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """A file that was deleted after it landed is downloaded again."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path, store).land(result)
    (tmp_path / ID / "0.mp4").unlink()
    lander(tmp_path, store).land(result)
    assert (tmp_path / ID / "0.mp4").read_bytes() == BODY


def test_other_destination_is_landed_again(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """A checkpoint entry for another destination does not count."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path / "one", store).land(result)
    lander(tmp_path / "two", store).land(result)
    assert lander(tmp_path / "one", store).land(result).uri == f"file://{tmp_path}/one/{ID}/0.mp4"
    assert files_in(tmp_path) == [f"one/{ID}/0.mp4", f"two/{ID}/0.mp4"]


def test_identical_file_is_not_written_again(media: MediaServer, tmp_path: Path) -> None:
    """Without a checkpoint entry the file is downloaded and compared; an identical file is left alone."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path).land(result)
    before = (tmp_path / ID / "0.mp4").stat()
    lander(tmp_path).land(result)
    after = (tmp_path / ID / "0.mp4").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("value", [[], "x", {f"{ID}/0": {"uri": 5}}, {f"{ID}/0": None}, {f"{ID}/0": {"bytes": {}}}])
def test_invalid_checkpoint_is_ignored(media: MediaServer, tmp_path: Path, store: Any, value: Any) -> None:
    """A checkpoint that was edited into nonsense is ignored."""
    store.set(STORE_KEY, value)
    lander(tmp_path, store).land(Result(ID, 0, media.serve("/a.mp4", body=BODY)))
    assert files_in(tmp_path) == [f"{ID}/0.mp4"]


class BrokenStore:
    """A task state store that is unreachable."""

    def get(self, *_: Any) -> Any:
        raise RuntimeError("the api-server is away")

    set = get


def test_unreachable_checkpoint(media: MediaServer, tmp_path: Path) -> None:
    """Landing continues without its checkpoint."""
    lander(tmp_path, BrokenStore()).land(Result(ID, 0, media.serve("/a.mp4", body=BODY)))
    assert files_in(tmp_path) == [f"{ID}/0.mp4"]


@pytest.mark.parametrize("status", [400, 403, 418])
def test_dead_link_is_renewed_once(media: MediaServer, tmp_path: Path, status: int) -> None:
    """A dead link is renewed once through EvoLink, even in the middle of a download."""
    dead = media.serve("/old.mp4", body=BODY, faults=[{"cut": 50_000}, {"status": status}])
    fresh = media.serve("/new.mp4", body=BODY, etag='"other"')
    lander(tmp_path, renew=lambda _: fresh).land(Result(ID, 0, dead))
    assert (tmp_path / ID / "0.mp4").read_bytes() == BODY
    assert [request.path for request in media.requests] == ["/old.mp4", "/old.mp4", "/new.mp4"]


PAGE = {"body": b"<html>This link has expired.</html>", "content_type": "text/html"}


def test_link_to_a_page_is_renewed_once(media: MediaServer, tmp_path: Path) -> None:
    """Some hosts respond to a dead link with a page and HTTP 200."""
    fresh = media.serve("/new.mp4", body=BODY)
    lander(tmp_path, renew=lambda _: fresh).land(Result(ID, 0, media.serve("/old.mp4", **PAGE)))
    assert (tmp_path / ID / "0.mp4").read_bytes() == BODY
    assert [request.path for request in media.requests] == ["/old.mp4", "/new.mp4"]


@pytest.mark.parametrize("has_link", [True, False])
def test_link_to_a_page_is_not_given_up(media: MediaServer, tmp_path: Path, has_link: bool) -> None:
    """A page may be temporary, so a retry is advised rather than a new generation, even without a new link."""
    link = media.serve("/a.mp4", **PAGE)
    result = Result(ID, 0, link, expires_at="2026-11-23T10:00:00+00:00")
    with pytest.raises(ResultCorruptError, match="A retry lands it again") as caught:
        lander(tmp_path, renew=lambda _: link if has_link else None).land(result)
    assert not caught.value.permanent
    assert len(media.requests) == 1 + has_link


def test_total_time_includes_both_links(media: MediaServer, tmp_path: Path) -> None:
    """A renewed link does not restart the clock."""
    dead = media.serve("/old.mp4", faults=[{"silence": 0.5}], **PAGE)
    fresh = media.serve("/new.mp4", body=BODY, faults=[{"pause": 0.3, "chunk": 50_000}])
    landing = replace(lander(tmp_path, renew=lambda _: fresh), limits=Limits(total_timeout=0.7))
    with pytest.raises(LandingError, match=r"\b0\.7 s\b"):
        landing.land(Result(ID, 0, dead))


def test_expired_link(media: MediaServer, tmp_path: Path) -> None:
    """A link that stays dead ends the retries with what happened, what it cost, and what a retry does."""
    link = media.serve("/a.mp4", faults=[{"status": 410}] * 9)
    result = Result(ID, 1, link, expires_at="2026-11-23T10:00:00+00:00")
    with pytest.raises(ResultExpiredError) as caught:
        lander(tmp_path, renew=lambda _: link).land(result)
    text = str(caught.value)
    for fact in (ID, "result 1", "HTTP 410", "2026-11-23T10:00:00", "paid for", "A retry can't"):
        assert fact in text
    assert caught.value.permanent
    assert caught.value.generation_id == ID
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404])
def test_link_refused_before_its_expiry_may_be_temporary(media: MediaServer, tmp_path: Path, status: int) -> None:
    """Before expiry a refusal, say by a firewall, may be temporary: a retry lands the result."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"status": status}] * 2)
    result = Result(ID, 0, link, expires_at="2999-01-01T00:00:00+00:00")
    with pytest.raises(LandingError, match=r"2999-01-01.*retry") as caught:
        lander(tmp_path, renew=lambda _: link).land(result)
    assert not caught.value.permanent

    lander(tmp_path, renew=lambda _: link).land(result)
    assert (tmp_path / ID / "0.mp4").read_bytes() == BODY


def test_expired_link_without_a_new_one(media: MediaServer, tmp_path: Path) -> None:
    """Without a new link from EvoLink, a dead link is permanent."""
    with pytest.raises(ResultExpiredError, match=r"EvoLink.*no longer.*link"):
        lander(tmp_path).land(Result(ID, 0, f"{media.url}/gone.mp4"))


def test_dead_link_and_unreachable_evolink(media: MediaServer, tmp_path: Path) -> None:
    """While EvoLink can't be reached for a new link, the result is not given up."""

    def fail(_: Result) -> str | None:
        raise ConnectionLostError("EvoLink is away.")

    with pytest.raises(LandingError, match="EvoLink is away") as caught:
        lander(tmp_path, renew=fail).land(Result(ID, 0, f"{media.url}/gone.mp4"))
    assert not caught.value.permanent


def test_dead_link_and_refused_api_key(media: MediaServer, tmp_path: Path) -> None:
    """A refused API key says nothing about the file, so no new generation is advised."""

    def refuse(_: Result) -> str | None:
        raise AuthenticationError("A retry fails until the connection holds a valid API key.", status=401)

    with pytest.raises(LandingError, match="holds a valid API key") as caught:
        lander(tmp_path, renew=refuse).land(Result(ID, 0, f"{media.url}/gone.mp4"))
    assert not caught.value.permanent
    assert "new, paid generation" not in str(caught.value)


def test_advice_does_not_depend_on_what_the_host_sends(media: MediaServer, tmp_path: Path) -> None:
    """A page that is quoted in the error, and speaks of retries, does not take the place of the advice."""
    link = media.serve("/a.mp4", body=b"<p>Please retry</p>", content_type="text/html")
    with pytest.raises(ResultCorruptError, match=r"Please retry.*A retry lands it again"):
        lander(tmp_path).land(Result(ID, 0, link))


def test_unknown_generation_at_renewal_is_not_contradicted(media: MediaServer, tmp_path: Path) -> None:
    """Where EvoLink's error says what a retry does, no other advice is given."""

    def lose(_: Result) -> str | None:
        raise GenerationNotFoundError("Not found.", status=404, advice="A retry finds nothing either.")

    with pytest.raises(ResultCorruptError) as caught:
        lander(tmp_path, renew=lose).land(Result(ID, 0, media.serve("/a.mp4", **PAGE)))
    assert str(caught.value).count("retry") == 1


def test_failure_leaves_nothing(media: MediaServer, tmp_path: Path) -> None:
    """An error page leaves no file, and the error has the generation id, that it is paid for, and what a retry does."""
    link = media.serve("/a.mp4", body=b"<html>maintenance</html>", content_type="text/html")
    with pytest.raises(ResultCorruptError) as caught:
        lander(tmp_path).land(Result(ID, 0, link))
    for fact in (ID, "paid for", "A retry lands it again", "nothing is generated again"):
        assert fact in str(caught.value)
    assert "charged" not in str(caught.value)
    assert files_in(tmp_path) == []


def test_unwritable_destination(media: MediaServer, tmp_path: Path) -> None:
    """A folder that can't be created is reported before anything is downloaded."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LandingError, match=r"file:///.*/folder.*Not a directory") as caught:
        lander(tmp_path / "file" / "folder").land(Result(ID, 0, media.serve("/a.mp4")))
    assert isinstance(caught.value, EvoLinkError)
    assert media.requests == []


@pytest.mark.parametrize("has_entry", [True, False])
def test_killed_right_after_publishing(media: MediaServer, tmp_path: Path, store: Any, has_entry: bool) -> None:
    """A worker killed right after publishing leaves a temporary copy; the next attempt removes it."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path, store).land(result)
    path = tmp_path / ID / "0.mp4"
    path.with_name(f"{part_prefix(path)}0123.part").hardlink_to(path)
    lander(tmp_path, store if has_entry else None).land(result)
    assert files_in(tmp_path) == [f"{ID}/0.mp4"]
    assert path.read_bytes() == BODY


LAND_IN_ANOTHER_PROCESS = """
import sys
from datetime import timedelta
from fsspec.implementations.local import LocalFileSystem
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.local import part_prefix
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, Result
from airflow_provider_evolink.landing.checkpoint import Checkpoint
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.storage_target import StorageTarget

folder, generation_id, link = sys.argv[1:]
Lander(
    destination=StorageTarget(LocalFileSystem(), folder, "file"),
    pattern=DEFAULT_PATTERN,
    network=Network(allow_loopback=True),
    checkpoint=Checkpoint(None, timedelta(days=1)),
    renew=lambda _: None,
).land(Result(generation_id, 0, link))
"""


def test_killed_worker_leaves_nothing(media: MediaServer, tmp_path: Path) -> None:
    """A worker killed during a download leaves no file of any name, and the next attempt lands the result."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"pause": 0.05, "chunk": 1000}])
    folder = tmp_path / "landed"
    process = subprocess.Popen([sys.executable, "-c", LAND_IN_ANOTHER_PROCESS, str(folder), ID, link])
    deadline = time.monotonic() + 20
    while not media.requests and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert folder.is_dir()
    assert files_in(folder) == []
    lander(folder).land(Result(ID, 0, link))
    assert files_in(folder) == [f"{ID}/0.mp4"]
