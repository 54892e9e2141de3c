# SPDX-License-Identifier: Apache-2.0
"""Tests of the transfer operator, with real HTTP and a real S3 server."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from airflow.sdk import Asset, AssetAlias, ObjectStoragePath
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_evolink.api.errors import EvoLinkError, LandingError, ResultCorruptError
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.execution.task_state import LEDGER_ASSET
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from testkit.s3 import S3
from tests.hook_uses import HookUses
from tests.landing.media_server import MediaServer, mp4
from tests.marks import needs_state_stores
from tests.task_harness import TaskInstance

A, B = "task-unified-1-aaaaaaaa", "task-unified-2-bbbbbbbb"
KEY = "sk-landing-tests-only"
BODY = mp4(100_000)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(500)


@pytest.fixture(autouse=True)
def connections(media: MediaServer, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Define the connections; the media host also serves EvoLink's API."""
    evolink = {"conn_type": "evolink", "host": media.url, "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(evolink))
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)


def record(*links: str, generation_id: str = A, **more: Any) -> dict[str, Any]:
    """Return a record like the generate operator's."""
    completed = {"model": "gemini-omni-flash-image-to-video", "status": "completed", "result_data": None}
    return {"generation_id": generation_id, **completed, "results": list(links), "expires_at": None, **more}


def serve_generation(media: MediaServer, *links: str, generation_id: str = A, **more: Any) -> None:
    """Let EvoLink's API return a generation."""
    task = {"id": generation_id, "status": "completed", "model": "m", "created": 1757169743, "results": list(links)}
    task.update(more)
    path = f"/v1/tasks/{generation_id}"
    media.serve(path, body=json.dumps(task).encode(), content_type="application/json", etag=None)


def context(store: Any = None, *, map_index: int = -1) -> Any:
    """Return the parts of a task's context that the transfer uses."""
    return {"ti": TaskInstance(map_index=map_index), "task_state_store": store, "outlet_events": OutletEventAccessors()}


def operator(generation: Any, destination: Any, **more: Any) -> EvoLinkToObjectStorageOperator:
    """Return a transfer operator."""
    return EvoLinkToObjectStorageOperator(task_id="land", generation=generation, destination=destination, **more)


def test_record_lands_every_result(media: MediaServer, tmp_path: Path) -> None:
    """Every result of a record lands, and the returned list says where, in the order of the results."""
    given = record(media.serve("/a", body=BODY), media.serve("/b", body=PNG, content_type="image/png"))
    landed = operator(given, str(tmp_path)).execute(context())
    assert [(entry["uri"], entry["content_type"]) for entry in landed] == [
        (f"file://{tmp_path}/{A}/0.mp4", "video/mp4"),
        (f"file://{tmp_path}/{A}/1.png", "image/png"),
    ]
    for entry, body in zip(landed, (BODY, PNG), strict=True):
        assert Path(entry["uri"].removeprefix("file://")).read_bytes() == body
        assert entry["bytes"] == len(body)
        assert entry["sha256"] == hashlib.sha256(body).hexdigest()
        assert entry["generation_id"] == A
    assert json.loads(json.dumps(landed)) == landed


def test_no_generation_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list lands nothing and succeeds with a warning."""
    assert operator([], str(tmp_path)).execute(context()) == []
    assert "[warning" in capsys.readouterr().out


def test_api_key_goes_to_the_api_only(media: MediaServer, tmp_path: Path) -> None:
    """The API key is sent with the read of the generation, and with no request for media."""
    serve_generation(media, media.serve("/a.mp4", body=BODY))
    operator(A, str(tmp_path)).execute(context())
    read, download = media.requests
    assert read.headers["authorization"] == f"Bearer {KEY}"
    assert download.path == "/a.mp4"
    assert KEY not in json.dumps(download.headers)
    assert "authorization" not in download.headers


def test_mapped_upstream(media: MediaServer, tmp_path: Path) -> None:
    """The records of a mapped task, and ids among them, each land under their own name."""
    serve_generation(media, media.serve("/b.mp4", body=mp4(seed="b")), generation_id=B)
    given = [record(media.serve("/a.mp4", body=BODY)), B]
    landed = operator(given, ObjectStoragePath(f"file://{tmp_path}")).execute(context())
    assert [entry["generation_id"] for entry in landed] == [A, B]
    assert (tmp_path / A / "0.mp4").read_bytes() == BODY
    assert (tmp_path / B / "0.mp4").read_bytes() == mp4(seed="b")


@needs_state_stores
def test_a_clear_that_empties_the_store_downloads_nothing(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """After a clear, the checkpoint's copy identifies what has landed, even when its link has expired."""
    ti = TaskInstance()
    stores = {"ti": ti, "asset_state_store": {LEDGER_ASSET: type(store)()}}
    link = media.serve("/a.mp4", body=BODY)
    first = operator(record(link), str(tmp_path)).execute({**context(store), **stores})
    media.serve("/a.mp4", faults=[{"body": b"gone", "status": 403}] * 9)
    serve_generation(media, link)
    ti.try_number = 2

    second = operator(record(link), str(tmp_path)).execute({**context(type(store)()), **stores})

    assert second == first
    assert [request.path for request in media.requests] == ["/a.mp4"]


def test_s3_and_retry(media: MediaServer, s3: S3, store: Any) -> None:
    """Results land in a bucket, no URI shows the connection, and a retry lands only what is missing."""
    first = media.serve("/a.mp4", body=BODY)
    second = media.serve("/b.mp4", body=PNG, content_type="image/png", faults=[{"status": 300}] * 2)
    serve_generation(media, first, second)
    transfer = operator(record(first, second), "s3://store@videos/landed", filename_pattern="{kind}/{index}.{ext}")
    with pytest.raises(ResultCorruptError, match=A):
        transfer.execute(context(store))
    assert (s3.folder / "videos/landed/video/0.mp4").read_bytes() == BODY
    landed = transfer.execute(context(store))
    assert [entry["uri"] for entry in landed] == [
        "s3://videos/landed/video/0.mp4",
        "s3://videos/landed/image/1.png",
    ]
    assert [request.path for request in media.requests] == ["/a.mp4", "/b.mp4", f"/v1/tasks/{A}", "/b.mp4", "/b.mp4"]
    media.media.clear()
    assert transfer.execute(context(store)) == landed


C = "task-unified-3-cccccccc"


@pytest.mark.parametrize("way", ["dead", "conflict", "failed", "unknown"])
def test_one_failure_does_not_stop_the_others(media: MediaServer, tmp_path: Path, way: str) -> None:
    """A permanent failure ends the task and its retries, so everything else lands first."""
    dead = media.serve("/dead", faults=[{"status": 404}] * 9)
    serve_generation(media, dead, status="failed" if way == "failed" else "completed")
    if way == "unknown":
        missing = {"error": {"code": "task_not_found", "message": "?", "type": "not_found_error"}}
        lost = {"status": 404, "body": json.dumps(missing).encode(), "headers": {"Content-Type": "application/json"}}
        media.serve(f"/v1/tasks/{A}", faults=[lost] * 9)
    if way == "conflict":
        (tmp_path / A).mkdir()
        (tmp_path / A / "0.mp4").write_bytes(b"by hand")
        media.serve("/dead", body=mp4(seed="a"))
    first: Any = A if way in {"failed", "unknown"} else record(dead)
    others = [record(media.serve(f"/{other}", body=mp4(seed=other)), generation_id=other) for other in (B, C)]
    with pytest.raises(EvoLinkFailException, match=A):
        operator([first, *others], str(tmp_path)).execute(context())
    for other in (B, C):
        assert (tmp_path / other / "0.mp4").read_bytes() == mp4(seed=other)


def test_a_transient_failure_keeps_the_retries(media: MediaServer, tmp_path: Path) -> None:
    """Of a permanent and a transient failure, the transient one decides that the task is retried."""
    dead = media.serve("/dead", faults=[{"status": 404}] * 9)
    serve_generation(media, dead)
    page = media.serve("/page", body=b"<html>maintenance</html>")
    serve_generation(media, page, generation_id=B)
    with pytest.raises(ResultCorruptError, match=B):
        operator([record(dead), record(page, generation_id=B)], str(tmp_path)).execute(context())


def test_an_outage_is_left_to_a_retry(media: MediaServer, tmp_path: Path) -> None:
    """After three consecutive failures the remaining results are left to a retry."""
    links = [media.serve(f"/{number}", body=b"<html>maintenance</html>") for number in range(9)]
    serve_generation(media, *links)
    with pytest.raises(ResultCorruptError):
        operator(record(*links), str(tmp_path)).execute(context())
    assert {request.path for request in media.requests} == {"/0", "/1", "/2", f"/v1/tasks/{A}"}


@pytest.mark.parametrize("model", ["suno-persona", "kling-custom-element", "voice-enrollment"])
def test_nothing_to_land(media: MediaServer, tmp_path: Path, model: str) -> None:
    """A model that makes no files, and an empty list, land nothing without a request, and succeed."""
    assert operator(record(model=model), str(tmp_path)).execute(context()) == []
    assert operator([], str(tmp_path)).execute(context()) == []
    assert media.requests == []


@pytest.mark.parametrize("links", [(), ("file:///etc/passwd",)])
def test_completed_without_a_usable_file(media: MediaServer, tmp_path: Path, links: tuple[str, ...]) -> None:
    """A charged generation without a file fails with its id and cost; a retry reads it again and lands."""
    usage = {"credits_reserved": 8.0, "credits_used": 7.5, "billing_rule": None}
    serve_generation(media, *links, usage=usage)
    for given in (A, record(*links, usage=usage)):
        with pytest.raises(LandingError) as caught:
            operator(given, str(tmp_path)).execute(context())
        for fact in (A, "7.5 credits", "retry"):
            assert fact in str(caught.value)
        assert caught.value.generation_id == A
        assert not caught.value.permanent
    assert [request.path for request in media.requests] == [f"/v1/tasks/{A}"] * 2
    serve_generation(media, media.serve("/a.mp4", body=BODY))
    assert len(operator(record(*links), str(tmp_path)).execute(context())) == 1


@pytest.mark.parametrize("trigger_rule", ["all_success", "all_done"])
def test_upstream_that_returned_nothing(media: MediaServer, tmp_path: Path, trigger_rule: str) -> None:
    """When the upstream task returned nothing, the error names the parameter and denies no charge."""
    with pytest.raises(EvoLinkFailException, match=r"^`generation`=None is invalid: must be .*upstream") as caught:
        operator(None, str(tmp_path), trigger_rule=trigger_rule).execute(context())
    assert "charged" not in str(caught.value)
    assert media.requests == []


@pytest.mark.parametrize("destination", ["videos", "None", "$HOME/videos", "s3//bucket/x", "s3:///x"])
def test_invalid_destination_is_refused_at_parse_time(tmp_path: Path, destination: str) -> None:
    """An invalid literal destination is refused when the DAG is parsed, before anything upstream is paid for."""
    with pytest.raises(EvoLinkFailException, match=r"^`destination`=.* is invalid: must be"):
        operator(A, destination)
    with pytest.raises(EvoLinkFailException, match=r"^`on_existing`=.* is invalid: must be"):
        operator(A, str(tmp_path), on_existing="overwrite")
    for template in ("{{ var.value.folder }}", "{% if true %}/videos{% endif %}"):
        assert operator(A, template).destination == template


def test_destination_is_checked_before_any_request(media: MediaServer) -> None:
    """A rendered destination is checked before the first request to EvoLink or a media host."""
    transfer = operator(A, "{{ folder }}")
    transfer.render_template_fields({"folder": "videos"})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(EvoLinkFailException, match=r"^`destination`='videos' is invalid: must be"):
        transfer.execute(context())
    assert media.requests == []


def test_mapped_tasks_under_one_name(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """Of mapped tasks with the same file name the second fails, replaces or skips, as ``on_existing`` says."""
    links = [media.serve(f"/{seed}.mp4", body=mp4(seed=seed)) for seed in "ab"]
    first, second = record(links[0]), record(links[1], generation_id=B)
    pattern = "{index}.{ext}"
    operator(first, str(tmp_path), filename_pattern=pattern).execute(context(store))
    with pytest.raises(EvoLinkFailException) as caught:
        operator(second, str(tmp_path), filename_pattern=pattern).execute(context(map_index=1))
    for fact in (A, B, "result 0", f"{tmp_path}/0.mp4", "{generation_id}", "on_existing"):
        assert fact in str(caught.value)
    skipping = operator(second, str(tmp_path), filename_pattern=pattern, on_existing="skip")
    assert skipping.execute(context(map_index=1)) == []
    assert (tmp_path / "0.mp4").read_bytes() == mp4(seed="a")
    replacing = operator(second, str(tmp_path), filename_pattern=pattern, on_existing="replace")
    assert [entry["generation_id"] for entry in replacing.execute(context(map_index=1))] == [B]
    assert (tmp_path / "0.mp4").read_bytes() == mp4(seed="b")


def test_unfinished_record_is_read_again(media: MediaServer, tmp_path: Path) -> None:
    """A record made before the end is read again; a generation that still runs fails so that a retry reads again."""
    unfinished = record(status="pending")
    serve_generation(media, status="processing")
    with pytest.raises(LandingError, match="still processing"):
        operator(unfinished, str(tmp_path)).execute(context())
    serve_generation(media, media.serve("/a.mp4", body=BODY))
    assert len(operator(unfinished, str(tmp_path)).execute(context())) == 1


def test_expired_link_ends_retries(media: MediaServer, tmp_path: Path) -> None:
    """A link that is dead, also after it was renewed, fails the task permanently with the HTTP status."""
    dead = f"{media.url}/gone.mp4"
    serve_generation(media, dead)
    with pytest.raises(EvoLinkFailException, match="HTTP 404") as caught:
        operator(record(dead), str(tmp_path)).execute(context())
    assert A in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "parameter"),
    [
        ({"generation": None}, "generation"),
        ({"generation": "{'generation_id': 'x'}"}, "generation"),
        ({"destination": ""}, "destination"),
        ({"destination": "nowhere://bucket"}, "destination"),
        ({"filename_pattern": "../{index}"}, "filename_pattern"),
        ({"filename_pattern": "{generation_id}.{ext}"}, "filename_pattern"),
        ({"filename_pattern": "{nonsense}"}, "filename_pattern"),
    ],
)
def test_invalid_input(media: MediaServer, tmp_path: Path, how: dict[str, Any], parameter: str) -> None:
    """Invalid input fails permanently, names the parameter, and is found before the first download."""
    links = [media.serve("/a.mp4"), media.serve("/b.mp4")]
    given = {"generation": record(*links), "destination": str(tmp_path), **how}
    with pytest.raises(EvoLinkFailException, match=f"^`{parameter}`=.* is invalid: must be"):
        operator(**given).execute(context())
    assert media.requests == []


def test_links_to_private_addresses_are_refused(
    media: MediaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a connection to the real EvoLink, a link to this machine or a private address fails permanently."""
    real = {"conn_type": "evolink", "host": "https://api.evolink.ai", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(real))
    for link in (media.serve("/a.mp4", body=BODY), "https://169.254.169.254/latest", "http://10.0.0.1/a.mp4"):
        with pytest.raises(EvoLinkFailException, match=f"{A}.*paid for.*A retry is refused again"):
            operator(record(link), str(tmp_path)).execute(context())
    assert media.requests == []
    assert list(tmp_path.rglob("*.mp4")) == []


def test_asset_alias_gets_an_event_for_each_file(media: MediaServer, s3: S3) -> None:
    """An alias gets an event per file, with its entry and its model as extra, and no connection id in the URI."""
    alias = AssetAlias("landed-videos")
    task_context = context()
    given = record(media.serve("/a.mp4", body=BODY), media.serve("/b.mp4", body=mp4(seed="b")))
    landed = operator(given, "s3://store@videos/events", outlets=[alias]).execute(task_context)
    events = task_context["outlet_events"][alias].asset_alias_events
    assert [event.dest_asset_key.uri for event in events] == [entry["uri"] for entry in landed]
    assert [event.extra for event in events] == [{**entry, "model": given["model"]} for entry in landed]


def test_asset_gets_the_list(media: MediaServer, tmp_path: Path) -> None:
    """An asset gets one event with everything that landed."""
    asset = Asset("videos")
    task_context = context()
    given = record(media.serve("/a.mp4", body=BODY))
    landed = operator(given, str(tmp_path), outlets=[asset]).execute(task_context)
    assert task_context["outlet_events"][asset].extra == {"landed": landed}


def test_names_outside_ascii(media: MediaServer, tmp_path: Path) -> None:
    """A folder with non-ASCII letters keeps its name, and its asset URI is percent-encoded."""
    alias = AssetAlias("landed-videos")
    task_context = context()
    folder = tmp_path / "vidéos"
    given = record(media.serve("/a.mp4", body=BODY))
    landed = operator(given, str(folder), outlets=[alias]).execute(task_context)
    assert landed[0]["uri"] == f"file://{folder}/{A}/0.mp4"
    event = task_context["outlet_events"][alias].asset_alias_events[0]
    assert event.dest_asset_key.uri.endswith(f"/vid%C3%A9os/{A}/0.mp4")
    assert event.extra["uri"] == landed[0]["uri"]


@pytest.mark.parametrize("name", ["take #0", "what? 1", "100% sure", "%23", "a b;c=d&e", "film[1]", "größer #ü"])
def test_asset_of_any_name(media: MediaServer, tmp_path: Path, name: str) -> None:
    """Whatever a file's name, Airflow keeps its asset URI unchanged, and the URI identifies that file alone."""
    alias = AssetAlias("landed-videos")
    task_context = context()
    given = record(media.serve("/a.mp4", body=BODY))
    pattern = name.replace("{", "{{") + ".{ext}"
    landed = operator(given, str(tmp_path), filename_pattern=pattern, outlets=[alias]).execute(task_context)
    assert landed[0]["uri"] == f"file://{tmp_path}/{name}.mp4"
    uri = task_context["outlet_events"][alias].asset_alias_events[0].dest_asset_key.uri
    assert uri.isascii()
    parts = urlsplit(uri)
    assert (parts.query, parts.fragment) == ("", "")
    assert unquote(parts.path) == f"{tmp_path}/{name}.mp4"
    assert Asset(uri).uri == uri


def test_asset_uri_that_is_too_long(media: MediaServer, tmp_path: Path) -> None:
    """A path too long for an asset event is refused before the download, and lands where no event is wanted."""
    folder = tmp_path / ("视" * 80) / ("频" * 80)
    given = record(media.serve("/a.mp4", body=BODY))
    with pytest.raises(EvoLinkFailException, match=r"^`destination`=.* is invalid: must be .*1500.*AssetAlias"):
        operator(given, str(folder), outlets=[AssetAlias("landed-videos")]).execute(context())
    assert media.requests == []
    assert len(operator(given, str(folder), outlets=[Asset("videos")]).execute(context())) == 1


def test_name_that_is_too_long_with_its_extension(media: MediaServer, tmp_path: Path) -> None:
    """A name that only some extensions would make too long is refused before the download."""
    given = record(media.serve("/a.webp", body=PNG))
    with pytest.raises(EvoLinkFailException, match=r"^`filename_pattern`=.* is invalid: must be"):
        operator(given, str(tmp_path), filename_pattern="a" * 251 + ".{ext}").execute(context())
    assert media.requests == []


def test_worker_without_room(media: MediaServer, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full temporary folder is reported as the worker's problem, not the bucket's, and is retried."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    with pytest.raises(LandingError, match=r"worker .*not-there .*TMPDIR") as caught:
        operator(record(media.serve("/a.mp4", body=BODY)), "s3://store@videos/no-room").execute(context())
    assert "s3://" not in str(caught.value)
    assert "retry" in str(caught.value)
    assert not caught.value.permanent
    assert media.requests == []


@pytest.mark.parametrize("room", [1_000_000, 2_999_900])
def test_worker_that_runs_out_of_room(media: MediaServer, s3: S3, room: int) -> None:
    """A temporary file that can't grow, even by its last bytes, is reported as the worker's problem."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    transfer = operator(record(media.serve("/a.mp4", body=mp4(3_000_000))), "s3://store@videos/no-room")
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(LandingError, match=r"worker .*TMPDIR"):
            transfer.execute(context())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_one_hook_and_one_lookup_per_execution(media: MediaServer, tmp_path: Path, hook_uses: HookUses) -> None:
    """An execution that reads records, renews a link and reports lineage makes one hook and looks up once."""
    dead = media.serve("/dead.mp4", faults=[{"status": 404}] * 9)
    serve_generation(media, media.serve("/a.mp4", body=BODY))
    serve_generation(media, media.serve("/b.mp4", body=mp4(seed="b")), generation_id=B)
    assert len(operator([record(dead), B], str(tmp_path)).execute(context())) == 2
    assert hook_uses == HookUses(hooks=1, lookups=1)


def served(media: MediaServer, **fault: Any) -> dict[str, Any]:
    """Land a file that the media host serves with a fault, also at a renewed link."""
    serve_generation(media, link := media.serve("/a.mp4", body=BODY, faults=[fault] * 9))
    return {"generation": record(link)}


def read(media: MediaServer, **fault: Any) -> dict[str, Any]:
    """Land a generation whose response from EvoLink's API has a fault."""
    media.serve(f"/v1/tasks/{A}", body=b"{}", faults=[fault] * 9)
    return {"generation": A}


def read_as(media: MediaServer, **generation: Any) -> dict[str, Any]:
    """Land a generation in a state without a file."""
    serve_generation(media, **generation)
    return {"generation": A}


def conflict(media: MediaServer, folder: Path) -> dict[str, Any]:
    """Land a result whose name another file has."""
    (folder / "0.mp4").write_bytes(b"by hand")
    return {"generation": record(media.serve("/a.mp4", body=BODY)), "filename_pattern": "{index}.{ext}"}


# What a landing fails at, while the generation is paid for: by the arguments alone, or by what is served.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "API unreachable": {"evolink_conn_id": "unreachable"},
    "no API key": {"evolink_conn_id": "without_key"},
    "private address": {"generation": record("https://10.0.0.1/a.mp4")},
    "bad id": {"generation": "../credits"},
    "nothing upstream": {"generation": None},
    "relative destination": {"destination": "videos"},
    "no storage connection": {"destination": "s3://nobody@videos/x"},
    "bad choice": {"on_existing": "overwrite"},
}
RESPONSES: dict[str, Callable[[MediaServer, Path], dict[str, Any]]] = {
    "unknown to EvoLink": lambda media, _: read(media, status=404),
    "wrong API key": lambda media, _: read(media, status=401),
    "no access": lambda media, _: read(media, status=403),
    "rate limit": lambda media, _: read(media, status=429),
    "outage": lambda media, _: read(media, status=503),
    "web page": lambda media, _: read(media, status=200, body=b"<html>"),
    "lost response": lambda media, _: read(media, cut=0),
    "API unreachable for a new link": lambda media, _: served(media, status=404) | {"evolink_conn_id": "unreachable"},
    "failed": lambda media, _: read_as(media, status="failed"),
    "still running": lambda media, _: read_as(media, status="processing"),
    "no file": lambda media, _: read_as(media),
    "dead link": lambda media, _: served(media, status=404),
    "corrupt file": lambda media, _: served(media, body=b"<html>", status=200),
    "no bucket": lambda media, _: served(media) | {"destination": "s3://store@not-there/x"},
    "bad pattern": lambda media, _: served(media) | {"filename_pattern": "{nonsense}"},
    "conflict": conflict,
}


@pytest.mark.parametrize("failure", [*ARGUMENTS, *RESPONSES])
def test_no_error_denies_the_charge(
    media: MediaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int, failure: str
) -> None:
    """Whatever a landing fails at, its error never says that nothing was charged: the generation is paid for."""
    monkeypatch.setattr("airflow_provider_evolink.api.client._BACK_OFF", lambda _: 0.0)
    for name, host, key in (
        ("unreachable", f"http://127.0.0.1:{unused_tcp_port}", KEY),
        ("without_key", media.url, ""),
    ):
        connection = {"conn_type": "evolink", "host": host, "password": key}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    arguments = ARGUMENTS[failure] if failure in ARGUMENTS else RESPONSES[failure](media, tmp_path)

    with pytest.raises((EvoLinkError, EvoLinkFailException)) as caught:
        operator(**{"generation": A, "destination": str(tmp_path), **arguments}).execute(context())

    assert not re.search(r"nothing (was )?charged|not charged", str(caught.value), re.IGNORECASE)


def test_templates() -> None:
    """Jinja renders the templated fields and leaves the single braces of the pattern alone."""
    transfer = operator("{{ the_id }}", "s3://bucket/{{ ds }}", filename_pattern="{{ ds }}/{index}.{ext}")
    transfer.render_template_fields({"the_id": A, "ds": "2026-11-23"})  # type: ignore[typeddict-unknown-key]
    assert transfer.generation == A
    assert transfer.destination == "s3://bucket/2026-11-23"
    assert transfer.filename_pattern == "2026-11-23/{index}.{ext}"
