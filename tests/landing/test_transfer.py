from __future__ import annotations

import hashlib
import json
import resource
import signal
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from airflow.sdk import Asset, AssetAlias, ObjectStoragePath
from airflow.sdk.execution_time.context import OutletEventAccessors
from media_server import MediaServer, mp4

from airflow_provider_evolink.api.errors import LandingError, ResultCorruptError
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.operators.task_state import LEDGER_ASSET
from airflow_provider_evolink.transfers.evolink_to_object_storage import EvoLinkToObjectStorageOperator
from testkit.s3 import S3
from tests.task_harness import TaskInstance

A, B = "task-unified-1-aaaaaaaa", "task-unified-2-bbbbbbbb"
KEY = "sk-landing-tests-only"
BODY = mp4(100_000)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(500)


@pytest.fixture(autouse=True)
def connections(media: MediaServer, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """EvoLink's API is the media host here, too."""
    evolink = {"conn_type": "evolink", "host": media.url, "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(evolink))
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)


def record(*links: str, generation_id: str = A, **more: Any) -> dict[str, Any]:
    """What the generate operator returns."""
    done = {"model": "gemini-omni-flash-image-to-video", "status": "completed", "result_data": None}
    return {"generation_id": generation_id, **done, "results": list(links), "expires_at": None, **more}


def answer(media: MediaServer, *links: str, generation_id: str = A, **more: Any) -> None:
    """Let EvoLink know a generation."""
    task = {"id": generation_id, "status": "completed", "model": "m", "created": 1757169743, "results": list(links)}
    task.update(more)
    path = f"/v1/tasks/{generation_id}"
    media.serve(path, body=json.dumps(task).encode(), content_type="application/json", etag=None)


def context(store: Any = None) -> Any:
    """The parts of a task's context that a landing uses."""
    return {"task_state_store": store, "outlet_events": OutletEventAccessors()}


def operator(generation: Any, destination: Any, **more: Any) -> EvoLinkToObjectStorageOperator:
    """A landing task."""
    return EvoLinkToObjectStorageOperator(task_id="land", generation=generation, destination=destination, **more)


def test_record_lands_every_result(media: MediaServer, tmp_path: Path) -> None:
    """Every result of a record lands, and the list says where, in the order of the results."""
    one = record(media.serve("/a", body=BODY), media.serve("/b", body=PNG, content_type="image/png"))
    landed = operator(one, str(tmp_path)).execute(context())
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
    """An empty map lands nothing, which may be right, and is not silent about it."""
    assert operator([], str(tmp_path)).execute(context()) == []
    assert "No generation was given" in capsys.readouterr().out


def test_key_goes_to_the_api_only(media: MediaServer, tmp_path: Path) -> None:
    """The API key is in the question for the generation, and in no request for media."""
    answer(media, media.serve("/a.mp4", body=BODY))
    operator(A, str(tmp_path)).execute(context())
    asked, fetched = media.seen
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert fetched.path == "/a.mp4"
    assert KEY not in json.dumps(fetched.headers)
    assert "authorization" not in fetched.headers


def test_mapped_upstream(media: MediaServer, tmp_path: Path) -> None:
    """The records of a mapped task, and ids among them, land under their own names."""
    answer(media, media.serve("/b.mp4", body=mp4(seed="b")), generation_id=B)
    given = [record(media.serve("/a.mp4", body=BODY)), B]
    landed = operator(given, ObjectStoragePath(f"file://{tmp_path}")).execute(context())
    assert [entry["generation_id"] for entry in landed] == [A, B]
    assert (tmp_path / A / "0.mp4").read_bytes() == BODY
    assert (tmp_path / B / "0.mp4").read_bytes() == mp4(seed="b")


def test_a_clear_that_empties_the_store_fetches_nothing(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """What lies there is known by the copy of the notes, even when its link has died since."""
    copies = type(store)()
    ti = TaskInstance()
    stores = {"ti": ti, "asset_state_store": {LEDGER_ASSET: copies}}
    link = media.serve("/a.mp4", body=BODY)
    first = operator(record(link), str(tmp_path)).execute({**context(store), **stores})
    media.serve("/a.mp4", faults=[{"body": b"gone", "status": 403}] * 9)
    answer(media, link)
    ti.try_number = 2

    again = operator(record(link), str(tmp_path)).execute({**context(type(store)()), **stores})

    assert again == first
    assert [request.path for request in media.seen] == ["/a.mp4"]


def test_s3_and_retry(media: MediaServer, s3: S3, store: Any) -> None:
    """Results land in a bucket under a connection that no URI shows, and a retry goes on with what is missing."""
    first = media.serve("/a.mp4", body=BODY)
    second = media.serve("/b.mp4", body=PNG, content_type="image/png", faults=[{"status": 300}] * 2)
    answer(media, first, second)
    transfer = operator(record(first, second), "s3://store@videos/landed", filename_pattern="{kind}/{index}.{ext}")
    with pytest.raises(ResultCorruptError, match=A):
        transfer.execute(context(store))
    assert (s3.folder / "videos/landed/video/0.mp4").read_bytes() == BODY
    landed = transfer.execute(context(store))
    assert [entry["uri"] for entry in landed] == [
        "s3://videos/landed/video/0.mp4",
        "s3://videos/landed/image/1.png",
    ]
    assert [seen.path for seen in media.seen] == ["/a.mp4", "/b.mp4", f"/v1/tasks/{A}", "/b.mp4", "/b.mp4"]
    media.media.clear()
    assert transfer.execute(context(store)) == landed


C = "task-unified-3-cccccccc"


@pytest.mark.parametrize("way", ["dead", "conflict", "failed", "unknown"])
def test_one_failure_takes_nothing_else_with_it(media: MediaServer, tmp_path: Path, way: str) -> None:
    """What fails for good ends the task and its retries, so everything else lands first."""
    dead = media.serve("/dead", faults=[{"status": 404}] * 9)
    answer(media, dead, status="failed" if way == "failed" else "completed")
    if way == "unknown":
        missing = {"error": {"code": "task_not_found", "message": "?", "type": "not_found_error"}}
        lost = {"status": 404, "body": json.dumps(missing).encode(), "headers": {"Content-Type": "application/json"}}
        media.serve(f"/v1/tasks/{A}", faults=[lost] * 9)
    if way == "conflict":
        (tmp_path / A).mkdir()
        (tmp_path / A / "0.mp4").write_bytes(b"by hand")
        media.serve("/dead", body=mp4(seed="a"))
    first: Any = A if way in {"failed", "unknown"} else record(dead)
    others = [record(media.serve(f"/{one}", body=mp4(seed=one)), generation_id=one) for one in (B, C)]
    with pytest.raises(EvoLinkFailException, match=A):
        operator([first, *others], str(tmp_path)).execute(context())
    for one in (B, C):
        assert (tmp_path / one / "0.mp4").read_bytes() == mp4(seed=one)


def test_a_failure_that_may_pass_keeps_the_retries(media: MediaServer, tmp_path: Path) -> None:
    """Beside one that a retry can't mend, one that it may mend decides."""
    dead = media.serve("/dead", faults=[{"status": 404}] * 9)
    answer(media, dead)
    page = media.serve("/page", body=b"<html>maintenance</html>")
    answer(media, page, generation_id=B)
    with pytest.raises(ResultCorruptError, match=B):
        operator([record(dead), record(page, generation_id=B)], str(tmp_path)).execute(context())


def test_an_outage_is_left_to_a_retry(media: MediaServer, tmp_path: Path) -> None:
    """What looks like one is not waited for again with every result."""
    links = [media.serve(f"/{number}", body=b"<html>maintenance</html>") for number in range(9)]
    answer(media, *links)
    with pytest.raises(ResultCorruptError):
        operator(record(*links), str(tmp_path)).execute(context())
    assert {seen.path for seen in media.seen} == {"/0", "/1", "/2", f"/v1/tasks/{A}"}


@pytest.mark.parametrize("model", ["suno-persona", "kling-custom-element", "voice-enrollment"])
def test_nothing_to_land(media: MediaServer, tmp_path: Path, model: str) -> None:
    """A generation of a model that makes no file, and an empty list, land nothing, ask nothing and succeed."""
    assert operator(record(model=model), str(tmp_path)).execute(context()) == []
    assert operator([], str(tmp_path)).execute(context()) == []
    assert media.seen == []


@pytest.mark.parametrize("links", [(), ("file:///etc/passwd",)])
def test_completed_without_a_usable_file(media: MediaServer, tmp_path: Path, links: tuple[str, ...]) -> None:
    """A generation that was charged and lists no file fails with its id and cost; a retry looks again and lands."""
    usage = {"credits_reserved": 8.0, "credits_used": 7.5, "billing_rule": None}
    answer(media, *links, usage=usage)
    for given in (A, record(*links, usage=usage)):
        with pytest.raises(LandingError) as caught:
            operator(given, str(tmp_path)).execute(context())
        for fact in (A, "7.5 credits were used", "Nothing is generated again", "A retry asks EvoLink again"):
            assert fact in str(caught.value)
        assert caught.value.generation_id == A
        assert not caught.value.permanent
    assert [seen.path for seen in media.seen] == [f"/v1/tasks/{A}"] * 2
    answer(media, media.serve("/a.mp4", body=BODY))
    assert len(operator(record(*links), str(tmp_path)).execute(context())) == 1


@pytest.mark.parametrize("trigger_rule", ["all_success", "all_done"])
def test_upstream_that_returned_nothing(media: MediaServer, tmp_path: Path, trigger_rule: str) -> None:
    """After an upstream task that failed, the landing says that there is nothing to land, and why."""
    with pytest.raises(EvoLinkFailException, match="the task upstream has returned nothing") as caught:
        operator(None, str(tmp_path), trigger_rule=trigger_rule).execute(context())
    assert "charged" not in str(caught.value)
    assert media.seen == []


@pytest.mark.parametrize("destination", ["videos", "None", "$HOME/videos", "s3//bucket/x", "s3:///x"])
def test_wrong_destination_is_refused_with_the_dag(tmp_path: Path, destination: str) -> None:
    """A literal destination that can't work is refused when the DAG is read, before anything upstream is paid for."""
    with pytest.raises(EvoLinkFailException, match=r"^destination="):
        operator(A, destination)
    with pytest.raises(EvoLinkFailException, match=r"^on_existing="):
        operator(A, str(tmp_path), on_existing="overwrite")
    for later in ("{{ var.value.folder }}", "{% if true %}/videos{% endif %}"):
        assert operator(A, later).destination == later


def test_destination_is_checked_before_anything_is_asked(media: MediaServer) -> None:
    """What a template renders to is checked before EvoLink or a media host is asked."""
    transfer = operator(A, "{{ folder }}")
    transfer.render_template_fields({"folder": "videos"})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(EvoLinkFailException, match=r"^destination='videos' is refused: a relative path"):
        transfer.execute(context())
    assert media.seen == []


def test_mapped_tasks_under_one_name(media: MediaServer, tmp_path: Path, store: Any) -> None:
    """Of mapped tasks whose pattern does not tell them apart the second is told; a choice lets it replace or skip."""
    links = [media.serve(f"/{seed}.mp4", body=mp4(seed=seed)) for seed in "ab"]
    first, second = record(links[0]), record(links[1], generation_id=B)
    pattern = "{index}.{ext}"
    operator(first, str(tmp_path), filename_pattern=pattern).execute(context(store))
    with pytest.raises(EvoLinkFailException) as caught:
        operator(second, str(tmp_path), filename_pattern=pattern).execute(context())
    for fact in (A, B, f"{tmp_path}/0.mp4", "{generation_id}", "on_existing"):
        assert fact in str(caught.value)
    assert "Landing result 0 of generation" in str(caught.value)
    skipping = operator(second, str(tmp_path), filename_pattern=pattern, on_existing="skip")
    assert skipping.execute(context()) == []
    assert (tmp_path / "0.mp4").read_bytes() == mp4(seed="a")
    replacing = operator(second, str(tmp_path), filename_pattern=pattern, on_existing="replace")
    assert [entry["generation_id"] for entry in replacing.execute(context())] == [B]
    assert (tmp_path / "0.mp4").read_bytes() == mp4(seed="b")


def test_unfinished_record_is_read_again(media: MediaServer, tmp_path: Path) -> None:
    """A record made without waiting is looked up; a generation that still runs fails so that a retry looks again."""
    unfinished = record(status="pending")
    answer(media, status="processing")
    with pytest.raises(LandingError, match="still processing"):
        operator(unfinished, str(tmp_path)).execute(context())
    answer(media, media.serve("/a.mp4", body=BODY))
    assert len(operator(unfinished, str(tmp_path)).execute(context())) == 1


def test_expired_link_ends_retries(media: MediaServer, tmp_path: Path) -> None:
    """A link that is dead, and dead again after a question to EvoLink, fails the task for good and says why."""
    dead = f"{media.url}/gone.mp4"
    answer(media, dead)
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
def test_bad_input(media: MediaServer, tmp_path: Path, how: dict[str, Any], parameter: str) -> None:
    """Bad input fails for good, names the parameter, and is found before anything is fetched."""
    links = [media.serve("/a.mp4"), media.serve("/b.mp4")]
    given = {"generation": record(*links), "destination": str(tmp_path), **how}
    with pytest.raises(EvoLinkFailException, match=f"^{parameter}="):
        operator(**given).execute(context())
    assert media.seen == []


def test_links_elsewhere_are_judged(media: MediaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a connection to EvoLink proper, a link to this machine or to a private address is refused for good."""
    proper = {"conn_type": "evolink", "host": "https://api.evolink.ai", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_EVOLINK_DEFAULT", json.dumps(proper))
    for link in (media.serve("/a.mp4", body=BODY), "https://169.254.169.254/latest", "http://10.0.0.1/a.mp4"):
        with pytest.raises(EvoLinkFailException, match=A):
            operator(record(link), str(tmp_path)).execute(context())
    assert media.seen == []
    assert list(tmp_path.rglob("*.mp4")) == []


def test_asset_alias_gets_an_event_for_each_file(media: MediaServer, s3: S3) -> None:
    """An alias among the outlets tells of every file, with its entry as extra and no connection id in the URI."""
    alias = AssetAlias("landed-videos")
    where = context()
    one = record(media.serve("/a.mp4", body=BODY), media.serve("/b.mp4", body=mp4(seed="b")))
    landed = operator(one, "s3://store@videos/events", outlets=[alias]).execute(where)
    events = where["outlet_events"][alias].asset_alias_events
    assert [event.dest_asset_key.uri for event in events] == [entry["uri"] for entry in landed]
    assert [event.extra for event in events] == landed


def test_asset_gets_the_list(media: MediaServer, tmp_path: Path) -> None:
    """An asset among the outlets gets one event with everything that landed."""
    asset = Asset("videos")
    where = context()
    landed = operator(record(media.serve("/a.mp4", body=BODY)), str(tmp_path), outlets=[asset]).execute(where)
    assert where["outlet_events"][asset].extra == {"landed": landed}


def test_names_that_assets_can_not_hold(media: MediaServer, tmp_path: Path) -> None:
    """A folder with letters outside ASCII lands under its name and is told to assets in a form they take."""
    alias = AssetAlias("landed-videos")
    where = context()
    folder = tmp_path / "vidéos"
    landed = operator(record(media.serve("/a.mp4", body=BODY)), str(folder), outlets=[alias]).execute(where)
    assert landed[0]["uri"] == f"file://{folder}/{A}/0.mp4"
    event = where["outlet_events"][alias].asset_alias_events[0]
    assert event.dest_asset_key.uri.endswith(f"/vid%C3%A9os/{A}/0.mp4")
    assert event.extra == landed[0]


@pytest.mark.parametrize("name", ["take #0", "what? 1", "100% sure", "%23", "a b;c=d&e", "film[1]", "größer #ü"])
def test_asset_of_any_name(media: MediaServer, tmp_path: Path, name: str) -> None:
    """Whatever a file is called, Airflow keeps its asset's URI as it is, and it leads back to that file alone."""
    alias = AssetAlias("landed-videos")
    where = context()
    one = record(media.serve("/a.mp4", body=BODY))
    pattern = name.replace("{", "{{") + ".{ext}"
    landed = operator(one, str(tmp_path), filename_pattern=pattern, outlets=[alias]).execute(where)
    assert landed[0]["uri"] == f"file://{tmp_path}/{name}.mp4"
    uri = where["outlet_events"][alias].asset_alias_events[0].dest_asset_key.uri
    assert uri.isascii()
    parts = urlsplit(uri)
    assert (parts.query, parts.fragment) == ("", "")
    assert unquote(parts.path) == f"{tmp_path}/{name}.mp4"
    assert Asset(uri).uri == uri


def test_asset_that_would_be_too_long(media: MediaServer, tmp_path: Path) -> None:
    """A path that Airflow could not tell of is refused before the fetch if it is to be told, and lands otherwise."""
    folder = tmp_path / ("视" * 80) / ("频" * 80)
    one = record(media.serve("/a.mp4", body=BODY))
    with pytest.raises(EvoLinkFailException, match=r"^destination=.*and Airflow takes 1500"):
        operator(one, str(folder), outlets=[AssetAlias("landed-videos")]).execute(context())
    assert media.seen == []
    assert len(operator(one, str(folder), outlets=[Asset("videos")]).execute(context())) == 1


def test_name_that_is_too_long_with_its_extension(media: MediaServer, tmp_path: Path) -> None:
    """A name that only some kinds of file would make too long is refused before the fetch."""
    one = record(media.serve("/a.webp", body=PNG))
    with pytest.raises(EvoLinkFailException, match=r"^filename_pattern="):
        operator(one, str(tmp_path), filename_pattern="a" * 251 + ".{ext}").execute(context())
    assert media.seen == []


def test_worker_without_room(media: MediaServer, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for a temporary file is told of the worker, not of the bucket."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    with pytest.raises(LandingError, match=r"This worker has no room .*not-there .*TMPDIR") as caught:
        operator(record(media.serve("/a.mp4", body=BODY)), "s3://store@videos/no-room").execute(context())
    assert "s3://" not in str(caught.value)
    assert "A retry lands it again, at no cost" in str(caught.value)
    assert media.seen == []


@pytest.mark.parametrize("room", [1_000_000, 2_999_900])
def test_worker_whose_room_ends(media: MediaServer, s3: S3, room: int) -> None:
    """Nor is a temporary file that can't grow the bucket's fault, be it by its last bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    transfer = operator(record(media.serve("/a.mp4", body=mp4(3_000_000))), "s3://store@videos/no-room")
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(LandingError, match=r"This worker has no room .*TMPDIR"):
            transfer.execute(context())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_templates() -> None:
    """Jinja fills everything an author would write, and leaves the single braces of the pattern alone."""
    transfer = operator("{{ the_id }}", "s3://bucket/{{ ds }}", filename_pattern="{{ ds }}/{index}.{ext}")
    transfer.render_template_fields({"the_id": A, "ds": "2026-11-23"})  # type: ignore[typeddict-unknown-key]
    assert transfer.generation == A
    assert transfer.destination == "s3://bucket/2026-11-23"
    assert transfer.filename_pattern == "2026-11-23/{index}.{ext}"
