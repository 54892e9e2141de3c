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
from media_server import MediaServer, mp4

from airflow_provider_evolink.api.errors import (
    AuthenticationError,
    ConnectionLostError,
    EvoLinkError,
    FileConflictError,
    LandingError,
    ResultCorruptError,
    ResultExpiredError,
)
from airflow_provider_evolink.landing.checkpoint import STORE_KEY, Checkpoint, Landed
from airflow_provider_evolink.landing.download import Limits
from airflow_provider_evolink.landing.existing import OnExisting
from airflow_provider_evolink.landing.filenames import DEFAULT_PATTERN, Result
from airflow_provider_evolink.landing.lander import Lander
from airflow_provider_evolink.landing.local import part_prefix
from airflow_provider_evolink.landing.safe_http import Network
from airflow_provider_evolink.landing.storage_target import StorageTarget

BODY = mp4(100_000)
ID = "task-unified-1757169743-7cvnl5zw"
LANDED = Landed(
    uri="",
    bytes=len(BODY),
    sha256=hashlib.sha256(BODY).hexdigest(),
    content_type="video/mp4",
    generation_id=ID,
    extension="mp4",
)


def no_help(_: Result) -> str | None:
    """EvoLink knows no link any more."""
    return None


def lander(folder: Path, store: Any = None, renew: Callable[[Result], str | None] = no_help) -> Lander:
    """Everything a landing into a folder needs."""
    return Lander(
        destination=StorageTarget(LocalFileSystem(), str(folder), "file"),
        pattern=DEFAULT_PATTERN,
        network=Network(allow_loopback=True, read_timeout=2),
        checkpoint=Checkpoint(store, timedelta(days=1)),
        renew=renew,
    )


def everything_in(folder: Path) -> list[str]:
    """Every file, whatever its name."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_lands(media: MediaServer, tmp_path: Path) -> None:
    """A result lies under our name for it, and what is returned describes exactly the file."""
    result = Result(ID, 0, media.serve("/../evil%20name.exe", body=BODY))
    landed = lander(tmp_path).land(result)
    path = tmp_path / ID / "0.mp4"
    assert path.read_bytes() == BODY
    assert everything_in(tmp_path) == [f"{ID}/0.mp4"]
    assert landed.entry() == {
        "uri": f"file://{path}",
        "bytes": len(BODY),
        "sha256": LANDED.sha256,
        "content_type": "video/mp4",
        "generation_id": ID,
    }


def test_retry_does_not_fetch_again(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """What an earlier try has landed and is still the same is skipped without a request, even if its link has died."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    first = lander(tmp_path, store).land(result)
    media.media.clear()
    assert lander(tmp_path, store).land(result) == first
    assert len(media.seen) == 1


def test_changed_file_is_not_replaced(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """A file that somebody has changed since it was landed is theirs; replacing it has to be asked for."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path, store).land(result)
    path = tmp_path / ID / "0.mp4"
    path.write_bytes(BODY[:-1] + b"!")
    with pytest.raises(FileConflictError, match="changed since"):
        lander(tmp_path, store).land(result)
    assert path.read_bytes() == BODY[:-1] + b"!"
    replace(lander(tmp_path, store), on_existing=OnExisting.REPLACE).land(result)
    assert path.read_bytes() == BODY


def test_lost_file_is_landed_again(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """A file that is gone since it was landed is fetched again."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path, store).land(result)
    (tmp_path / ID / "0.mp4").unlink()
    lander(tmp_path, store).land(result)
    assert (tmp_path / ID / "0.mp4").read_bytes() == BODY


def test_other_destination_is_landed_anew(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """A note about another place does not count."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path / "one", store).land(result)
    lander(tmp_path / "two", store).land(result)
    assert lander(tmp_path / "one", store).land(result).uri == f"file://{tmp_path}/one/{ID}/0.mp4"
    assert everything_in(tmp_path) == [f"one/{ID}/0.mp4", f"two/{ID}/0.mp4"]


def test_identical_file_is_not_written_again(media: MediaServer, tmp_path: Path) -> None:
    """Without a note the file is fetched and compared; the same bytes are left as they lie."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path).land(result)
    before = (tmp_path / ID / "0.mp4").stat()
    lander(tmp_path).land(result)
    after = (tmp_path / ID / "0.mp4").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("noted", [[], "x", {f"{ID}/0": {"uri": 5}}, {f"{ID}/0": None}, {f"{ID}/0": {"bytes": {}}}])
def test_notes_are_only_hints(media: MediaServer, tmp_path: Path, store: Any, noted: Any) -> None:
    """A note that somebody has edited into nonsense is ignored."""
    store.set(STORE_KEY, noted)
    lander(tmp_path, store).land(Result(ID, 0, media.serve("/a.mp4", body=BODY)))
    assert everything_in(tmp_path) == [f"{ID}/0.mp4"]


class BrokenStore:
    def get(self, *_: Any) -> Any:
        raise RuntimeError("the api-server is away")

    set = get


def test_notes_may_be_out_of_reach(media: MediaServer, tmp_path: Path) -> None:
    """Landing goes on without its notes."""
    lander(tmp_path, BrokenStore()).land(Result(ID, 0, media.serve("/a.mp4", body=BODY)))
    assert everything_in(tmp_path) == [f"{ID}/0.mp4"]


@pytest.mark.parametrize("status", [400, 403, 418])
def test_dead_link_is_renewed_once(media: MediaServer, tmp_path: Path, status: int) -> None:
    """A link that has died is asked for once more at EvoLink, even in the middle of a download."""
    dead = media.serve("/old.mp4", body=BODY, faults=[{"cut": 50_000}, {"status": status}])
    fresh = media.serve("/new.mp4", body=BODY, etag='"other"')
    lander(tmp_path, renew=lambda _: fresh).land(Result(ID, 0, dead))
    assert (tmp_path / ID / "0.mp4").read_bytes() == BODY
    assert [seen.path for seen in media.seen] == ["/old.mp4", "/old.mp4", "/new.mp4"]


PAGE = {"body": b"<html>This link has expired.</html>", "content_type": "text/html"}


def test_link_that_gives_a_page_is_renewed_once(media: MediaServer, tmp_path: Path) -> None:
    """Some hosts answer for a dead link with a page and HTTP 200."""
    fresh = media.serve("/new.mp4", body=BODY)
    lander(tmp_path, renew=lambda _: fresh).land(Result(ID, 0, media.serve("/old.mp4", **PAGE)))
    assert (tmp_path / ID / "0.mp4").read_bytes() == BODY
    assert [seen.path for seen in media.seen] == ["/old.mp4", "/new.mp4"]


@pytest.mark.parametrize("has_link", [True, False])
def test_link_that_gives_a_page_is_not_given_up(media: MediaServer, tmp_path: Path, has_link: bool) -> None:
    """It may be a page of maintenance, so no new generation is advised, even where EvoLink has no better link."""
    link = media.serve("/a.mp4", **PAGE)
    result = Result(ID, 0, link, expires_at="2026-11-23T10:00:00+00:00")
    with pytest.raises(ResultCorruptError, match="A retry lands it again, at no cost") as caught:
        lander(tmp_path, renew=lambda _: link if has_link else None).land(result)
    assert not caught.value.permanent
    assert len(media.seen) == 1 + has_link


def test_time_for_a_file_is_that_of_both_its_links(media: MediaServer, tmp_path: Path) -> None:
    """A renewed link does not start the clock again."""
    dead = media.serve("/old.mp4", faults=[{"silence": 0.5}], **PAGE)
    fresh = media.serve("/new.mp4", body=BODY, faults=[{"pause": 0.3, "chunk": 50_000}])
    landing = replace(lander(tmp_path, renew=lambda _: fresh), limits=Limits(seconds=0.7))
    with pytest.raises(LandingError, match=r"within 0\.7 s"):
        landing.land(Result(ID, 0, dead))


def test_expired_link_tells(media: MediaServer, tmp_path: Path) -> None:
    """A link that stays dead ends the retries with what happened, what it cost, and what can be done."""
    link = media.serve("/a.mp4", faults=[{"status": 410}] * 9)
    result = Result(ID, 1, link, expires_at="2026-11-23T10:00:00+00:00")
    with pytest.raises(ResultExpiredError) as caught:
        lander(tmp_path, renew=lambda _: link).land(result)
    text = str(caught.value)
    for fact in (ID, "result 1", "HTTP 410", "2026-11-23T10:00:00", "paid for", "A retry can't bring it back"):
        assert fact in text
    assert caught.value.permanent
    assert caught.value.generation_id == ID
    assert everything_in(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404])
def test_a_link_refused_within_its_life_may_come_back(media: MediaServer, tmp_path: Path, status: int) -> None:
    """A firewall's refusal, or a host that does not know the file yet, is no reason to pay again: a retry lands it."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"status": status}] * 2)
    result = Result(ID, 0, link, expires_at="2999-01-01T00:00:00+00:00")
    with pytest.raises(LandingError, match="due to live until 2999") as caught:
        lander(tmp_path, renew=lambda _: link).land(result)
    assert not caught.value.permanent

    lander(tmp_path, renew=lambda _: link).land(result)
    assert (tmp_path / ID / "0.mp4").read_bytes() == BODY


def test_expired_link_without_a_new_one(media: MediaServer, tmp_path: Path) -> None:
    """If EvoLink knows no link any more, that is told."""
    with pytest.raises(ResultExpiredError, match="no link for it any more"):
        lander(tmp_path).land(Result(ID, 0, f"{media.url}/gone.mp4"))


def test_dead_link_and_evolink_away(media: MediaServer, tmp_path: Path) -> None:
    """As long as EvoLink can't be asked for a new link, the result is not given up."""

    def fail(_: Result) -> str | None:
        raise ConnectionLostError("EvoLink is away.")

    with pytest.raises(LandingError, match="EvoLink is away") as caught:
        lander(tmp_path, renew=fail).land(Result(ID, 0, f"{media.url}/gone.mp4"))
    assert not caught.value.permanent


def test_dead_link_and_refused_key(media: MediaServer, tmp_path: Path) -> None:
    """A key that EvoLink refuses says nothing about the file: nobody is sent to pay for it again."""

    def refuse(_: Result) -> str | None:
        raise AuthenticationError("A retry fails until the connection holds a valid API key.", status=401)

    with pytest.raises(LandingError, match="holds a valid API key") as caught:
        lander(tmp_path, renew=refuse).land(Result(ID, 0, f"{media.url}/gone.mp4"))
    assert not caught.value.permanent
    assert "new, paid generation" not in str(caught.value)


def test_failure_tells_and_leaves_nothing(media: MediaServer, tmp_path: Path) -> None:
    """An error page leaves no file, and the error names the generation and says that a retry costs nothing."""
    link = media.serve("/a.mp4", body=b"<html>maintenance</html>", content_type="text/html")
    with pytest.raises(ResultCorruptError) as caught:
        lander(tmp_path).land(Result(ID, 0, link))
    assert ID in str(caught.value)
    assert "A retry lands it again, at no cost" in str(caught.value)
    assert everything_in(tmp_path) == []


def test_destination_that_can_not_be_written(media: MediaServer, tmp_path: Path) -> None:
    """A folder that can't be made is told before anything is fetched."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LandingError, match=r"can't be written to: Not a directory") as caught:
        lander(tmp_path / "file" / "folder").land(Result(ID, 0, media.serve("/a.mp4")))
    assert isinstance(caught.value, EvoLinkError)
    assert media.seen == []


@pytest.mark.parametrize("is_noted", [True, False])
def test_killed_once_it_had_its_name(media: MediaServer, tmp_path: Path, store: Any, is_noted: bool) -> None:
    """A worker that is killed when a copy has just been linked to its name leaves the copy; the next try removes it."""
    result = Result(ID, 0, media.serve("/a.mp4", body=BODY))
    lander(tmp_path, store).land(result)
    path = tmp_path / ID / "0.mp4"
    path.with_name(f"{part_prefix(path)}0123.part").hardlink_to(path)
    lander(tmp_path, store if is_noted else None).land(result)
    assert everything_in(tmp_path) == [f"{ID}/0.mp4"]
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
    """A worker that is killed in the middle leaves no file of any name, and the next try lands the result."""
    link = media.serve("/a.mp4", body=BODY, faults=[{"pause": 0.05, "chunk": 1000}])
    folder = tmp_path / "landed"
    process = subprocess.Popen([sys.executable, "-c", LAND_IN_ANOTHER_PROCESS, str(folder), ID, link])
    deadline = time.monotonic() + 20
    while not media.seen and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert folder.is_dir()
    assert everything_in(folder) == []
    lander(folder).land(Result(ID, 0, link))
    assert everything_in(folder) == [f"{ID}/0.mp4"]
