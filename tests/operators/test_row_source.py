# SPDX-License-Identifier: Apache-2.0
"""Where the rows of a batch come from: sequences and files, and the errors for everything else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_evolink.api.errors import InvalidInputError, UnreadableInputError
from airflow_provider_evolink.batch.rows import RowTable
from airflow_provider_evolink.operators.row_source import row_table
from testkit.environment import free_port
from testkit.s3 import BUCKET, S3

JSON_LINES = '{"sku": "A"}\n{"sku": "B"}\n'
CSV = "sku\r\nA\r\nB\r\n"


def keys(table: RowTable) -> list[str | None]:
    """Return the keys of all rows."""
    return [row.key for row in table]


@pytest.mark.parametrize(
    ("name", "text"),
    [("rows.jsonl", JSON_LINES), ("rows.NDJSON", JSON_LINES), ("rows.csv", CSV), ("röws 1.csv", "\ufeff" + CSV)],
)
def test_files(tmp_path: Path, name: str, text: str) -> None:
    """JSON Lines and CSV are read by path, URI, Path and ObjectStoragePath, as often as needed."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    for given in (str(path), path, f"file://{path}", ObjectStoragePath(f"file://{path}")):
        table = row_table(given, "sku")
        assert keys(table) == keys(table) == ["A", "B"]


def connection(s3: S3, **extra: object) -> str:
    """Return a connection to S3 with more options."""
    given = json.loads(s3.connection)
    return json.dumps({**given, "extra": {**given["extra"], **extra}})


def test_files_in_s3(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in S3 is read block by block through the connection that its URI names."""
    # This server, unlike Amazon's, sends the whole object's checksum with each block of it.
    lenient = connection(s3, config_kwargs={"response_checksum_validation": "when_required"})
    monkeypatch.setenv("AIRFLOW_CONN_TABLES", lenient)
    rows = [{"sku": str(number), "prompt": "x" * 1500} for number in range(5000)]
    s3.file_system().pipe_file(f"{BUCKET}/tables/rows.jsonl", "\n".join(map(json.dumps, rows)).encode())
    uri = f"s3://tables@{BUCKET}/tables/rows.jsonl"
    for given in (uri, ObjectStoragePath(uri), ObjectStoragePath(uri.replace("tables@", ""), conn_id="tables")):
        assert keys(row_table(given, "sku")) == [row["sku"] for row in rows]
    with pytest.raises(UnreadableInputError, match=r"`requests`=.*none.csv"):
        keys(row_table(f"s3://tables@{BUCKET}/none.csv", "sku"))


def test_storage_that_is_down(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that can't be reached is a temporary error, which a retry may get over."""
    options = {"endpoint_url": f"http://127.0.0.1:{free_port()}", "config_kwargs": {"retries": {"max_attempts": 0}}}
    monkeypatch.setenv("AIRFLOW_CONN_TABLES_DOWN", connection(s3, **options))
    with pytest.raises(ConnectionError, match=rf"{BUCKET}/rows.csv.*A retry reads it again"):
        keys(row_table(f"s3://tables_down@{BUCKET}/rows.csv", "sku"))


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), TimeoutError("timed out")])
def test_connections_that_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """A storage whose connection breaks is a temporary error, which a retry may get over."""

    def break_off(*_: object, **__: object) -> None:
        raise error

    (tmp_path / "rows.csv").write_text(CSV)
    monkeypatch.setattr(LocalFileSystem, "_open", break_off)
    with pytest.raises(type(error)):
        keys(row_table(str(tmp_path / "rows.csv"), "sku"))


@pytest.mark.parametrize("text", [b"sku\nA\n\xff\n", "sku\nA\n".encode("utf-16"), b"\x89PNG\r\n\x1a\n\0\0"])
def test_files_in_another_encoding(tmp_path: Path, text: bytes) -> None:
    """A file that is not UTF-8 is refused, with its name."""
    path = tmp_path / "rows.csv"
    path.write_bytes(text)
    with pytest.raises(UnreadableInputError, match=r"`requests`=.*rows.csv.*utf-8"):
        keys(row_table(str(path), "sku"))


def test_missing_files(tmp_path: Path) -> None:
    """A file that does not exist, or is a folder, is refused by the parameter's name before anything is sent."""
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "folder.csv"):
        with pytest.raises(UnreadableInputError, match=f"`requests`=.*{name}.*This attempt sent nothing"):
            keys(row_table(str(tmp_path / name), "sku"))


class Lazy(Sequence[Any]):
    """A sequence without a length, as far as anybody asks."""

    def __len__(self) -> int:
        """Fail, since the length costs a request."""
        raise AssertionError

    def __getitem__(self, index: Any) -> Any:
        """Return an item."""
        return ({"sku": "A"}, {"sku": "B"})[index]


@pytest.mark.parametrize("given", [[{"sku": "A"}, {"sku": "B"}], ({"sku": "A"}, {"sku": "B"}), Lazy()])
def test_sequences(given: object) -> None:
    """Lists, tuples and lazy sequences are rows, and are read only by iterating over them."""
    assert keys(row_table(given, "sku")) == ["A", "B"]


def test_an_empty_table() -> None:
    """A list without rows is a table without rows."""
    assert keys(row_table([], "sku")) == []


class Results(LazyXComSequence[Any]):
    """The results of mapped tasks; ``requests`` records what was asked of Airflow."""

    def __init__(self, count: int) -> None:
        self.results = [{"sku": str(number)} for number in range(count)]
        self.requests: list[object] = []

    def __getitem__(self, index: Any) -> Any:
        """Return a result, or a slice of them."""
        self.requests.append(index)
        return self.results[index]


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (7, 1), (100, 2), (250, 3)])
def test_results_of_mapped_tasks(count: int, requests: int) -> None:
    """The results of mapped tasks are rows, which take a request to Airflow for a hundred, not for each."""
    results = Results(count)
    assert keys(row_table(results, "sku")) == [row["sku"] for row in results.results]
    assert len(results.requests) == requests


def test_slices_of_mapped_tasks() -> None:
    """Slices run forward within bounds: Airflow 3.3.2 answers others unlike a list, as read in its api-server's SQL."""
    results = Results(250)
    keys(row_table(results, "sku"))
    slices = [part for part in results.requests if isinstance(part, slice)]
    assert len(slices) == len(results.requests)
    assert all(0 <= part.start < part.stop and part.step is None for part in slices)


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        (None, "None"),
        (5, "int"),
        (b"rows.csv", "bytes"),
        ({"sku": "A"}, "dict"),
        ({"A"}, "set"),
        (iter([]), "iterator"),
        ("[{'sku': 'A'}]", "render_template_as_native_obj"),
        ("{'sku': 'A'}", "render_template_as_native_obj"),
        ("None", "render_template_as_native_obj"),
        ("", ".jsonl"),
        ("rows", ".jsonl"),
        ("rows.json", "a line each"),
        ("/data/rows.xlsx", ".csv"),
        ("/data/rows.csv.gz", ".csv"),
        ("s3://bucket/rows.parquet", ".csv"),
    ],
)
def test_what_is_no_table(given: object, fact: str) -> None:
    """Anything else is refused by the parameter's name, with what is accepted."""
    with pytest.raises(InvalidInputError, match="`requests`=") as caught:
        row_table(given, "sku")
    assert fact in str(caught.value)


def test_secrets_stay_out_of_errors() -> None:
    """A URI with credentials is not repeated in an error."""
    with pytest.raises(InvalidInputError) as caught:
        row_table("s3://user:hunter2@bucket/rows.txt?token=hunter2", "sku")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", [None, "", " ", 5, ["sku"]])
def test_the_key_is_the_name_of_a_field(key: object) -> None:
    """A key that is no field's name is refused by the parameter's name."""
    with pytest.raises(InvalidInputError, match="`key`="):
        row_table([], key)
