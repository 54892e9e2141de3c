# SPDX-License-Identifier: Apache-2.0
"""Destinations: what is refused before anything is paid for or downloaded, and with what advice."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_evolink.api.errors import LandingError, LandingInputError
from airflow_provider_evolink.emulator.server import EmulatorHandle
from airflow_provider_evolink.exceptions import EvoLinkFailException
from airflow_provider_evolink.landing.storage_target import _EXTRAS, check_destination, check_form, storage_target
from airflow_provider_evolink.operators.evolink import EvoLinkImageToVideoOperator
from testkit.s3 import S3
from tests.task_harness import TaskHarness


@pytest.mark.parametrize(
    ("destination", "fact"),
    [
        ("None", "template"),
        ("videos", "relative path"),
        ("./videos", "relative path"),
        ("bucket/videos", "relative path"),
        ("s3//bucket/x", "relative path"),
        ("~nobody-of-that-name/videos", "relative path"),
        ("$HOME/videos", "shell variables"),
        ("${HOME}/videos", "shell variables"),
        ("", "an absolute path"),
        ("  ", "an absolute path"),
        (None, "an absolute path"),
        (5, "an absolute path"),
        (Path("/videos"), "an absolute path"),
        ("/videos\0", "zero byte"),
        ("s3:bucket/x", "two slashes"),
        ("s3:/bucket/x", "two slashes"),
        ("C:\\videos", "two slashes"),
        ("file:videos", "two slashes"),
        ("file://videos/x", "file:///folder"),
        ("file://~/videos", "file:///folder"),
        ("file://", "file:///folder"),
        ("s3://[bucket/x", "not a valid URI"),
        ("s3://", "no bucket"),
        ("s3:///folder", "no bucket"),
        ("gs://conn@/folder", "no bucket"),
        ("az://box/x", "abfs://conn_id@container"),
        ("wasb://box@account.blob.core.windows.net/x", "abfs://conn_id@container"),
        ("wasbs://box@account.blob.core.windows.net/x", "abfs://conn_id@container"),
        ("abfss://box@account.dfs.core.windows.net/x", "abfss://conn_id@box/folder"),
        ("abfs://account.dfs.core.windows.net/x", "abfs://conn_id@container/folder"),
    ],
)
def test_invalid_destinations(destination: Any, fact: str) -> None:
    """A destination with invalid syntax is refused, with what to write instead."""
    for check in (check_form, check_destination, storage_target):
        with pytest.raises(LandingInputError, match=r"^`destination`=") as caught:
            check(destination)
        assert fact in str(caught.value)
        assert "charged" not in str(caught.value)


def test_relative_object_path() -> None:
    """A relative path is refused as an ObjectStoragePath, too."""
    path = ObjectStoragePath("videos")
    if path.path.startswith("/"):
        pytest.skip("This Airflow takes a relative path for one from the root.")

    with pytest.raises(LandingInputError, match=r"^`destination`=.*relative path"):
        check_destination(path)


def test_credentials_are_not_printed() -> None:
    """Credentials in a URI are refused, and not printed."""
    with pytest.raises(LandingInputError, match="connection") as caught:
        check_destination("s3://AKIAKEY:secret-word@bucket/x")
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("destination", "fact"),
    [
        ("gs://bucket/x", 'pip install "airflow-provider-evolink[gcs]"'),
        ("abfs://conn@box/x", 'pip install "airflow-provider-evolink[azure]"'),
        ("nowhere://bucket/x", "file system for nowhere://"),
        ("memory://bucket/x", "file system for memory://"),
        ("https://example.com/x", "file system for https://"),
    ],
)
def test_missing_provider(destination: str, fact: str) -> None:
    """Storage whose Airflow provider is not installed is refused with the package to install."""
    with pytest.raises(LandingInputError) as caught:
        check_destination(destination)
    assert fact in str(caught.value)


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider without the library it needs is refused with the extra to install."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(LandingInputError) as caught:
        check_destination("s3://bucket/x")
    assert 'pip install "airflow-provider-evolink[s3]"' in str(caught.value)


@pytest.mark.parametrize(("picture", "extra"), [("s3://box/a.png", "s3"), ("gs://box/a.png", "gcs")])
def test_a_picture_in_such_storage_is_refused_likewise(
    emulator: EmulatorHandle, monkeypatch: pytest.MonkeyPatch, picture: str, extra: str
) -> None:
    """A picture whose storage lacks a package is refused before anything is paid for, with the extra to install."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    task = EvoLinkImageToVideoOperator(task_id="task", prompt="A lighthouse", image=picture)
    with pytest.raises(EvoLinkFailException) as caught:
        TaskHarness().run(task)
    assert f'pip install "airflow-provider-evolink[{extra}]"' in str(caught.value)
    assert emulator.control.state()["requests"]["submit"] == 0


def test_extras_install_what_errors_ask_for() -> None:
    """Each extra that an error names is one of the package's, and installs the library and its Airflow provider."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = {"s3": "amazon[s3fs]", "gcs": "google", "azure": "microsoft-azure"}
    for extra, provider in installed.items():
        [requirement] = project["optional-dependencies"][extra]
        assert requirement.startswith(f"apache-airflow-providers-{provider}>=")
    assert {extra for _, extra in _EXTRAS.values()} == installed.keys()


def test_missing_connection(monkeypatch: pytest.MonkeyPatch, s3: S3) -> None:
    """A connection that Airflow does not find is named; other credentials are not used in its target."""
    for destination in ("s3://typo@videos/x", ObjectStoragePath("s3://typo@videos/x")):
        with pytest.raises(LandingError, match=r"connection 'typo'") as caught:
            storage_target(destination)
        assert not caught.value.permanent
    monkeypatch.setenv("AIRFLOW_CONN_NO_TYPO", s3.connection)
    assert storage_target("s3://no_typo@videos/x").conn_id == "no_typo"


def test_storage_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, s3: S3) -> None:
    """Storage that can't be opened at the moment is left to a retry, and the error says what it cost."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)
    monkeypatch.setattr(ObjectStoragePath, "fs", property(Mock(side_effect=RuntimeError("secrets are down"))))

    with pytest.raises(LandingError, match=r"secrets are down.*cost nothing.*A retry") as caught:
        storage_target("s3://store@videos/x")
    assert not caught.value.permanent


def test_default_aws_connection_is_optional() -> None:
    """Airflow's default AWS connection need not exist: the worker's role is used then."""
    check_destination("s3://aws_default@bucket/x")


def test_a_destination_becomes_a_target(monkeypatch: pytest.MonkeyPatch, s3: S3, tmp_path: Path) -> None:
    """A destination is opened as Airflow opens it; its URI has no connection id."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)
    monkeypatch.setenv("HOME", str(tmp_path))
    target = storage_target("S3://store@videos/a/")
    assert (target.protocol, target.bucket, target.conn_id) == ("s3", "videos", "store")
    assert (target / "b/0.mp4").uri == "s3://videos/a/b/0.mp4"
    assert storage_target("~/films").uri == f"file://{tmp_path}/films"
    for form in (
        str(tmp_path),
        f"file://{tmp_path}",
        f"local://{tmp_path}",
        ObjectStoragePath(f"file://{tmp_path}"),
    ):
        assert (storage_target(form) / "0.mp4").uri == f"file://{tmp_path}/0.mp4"


@given(
    st.text(max_size=60)
    | st.sampled_from(["s3:", "s3://", "abfs://", "file:", "//", "~", "@", "s3://["]).flatmap(
        lambda start: st.text(max_size=20).map(lambda rest: start + rest)
    )
)
def test_any_text_is_accepted_or_refused(text: str) -> None:
    """Whatever a template renders to is accepted, or refused by the parameter's name."""
    try:
        check_form(text)
    except LandingInputError as error:
        assert str(error).startswith("`destination`=")
    else:
        assert text.startswith(("/", "~")) or "://" in text


def test_a_local_destination_loads_no_other_file_system() -> None:
    """Airflow would import those of all installed providers, which costs every task a tenth of a second."""
    program = """
import sys
from airflow_provider_evolink.landing.storage_target import storage_target
targets = [storage_target(place) for place in ("file:///videos", "/videos", "local:///videos", "~/videos")]
assert all(target.is_local and target.fs.exists("/") for target in targets)
print([name for name in sys.modules if name.endswith("aws.fs.s3")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip().splitlines()[-1:] == ["[]"], done.stderr
