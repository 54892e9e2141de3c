# SPDX-License-Identifier: Apache-2.0
"""What deploy/ configures is what Airflow and this package read; `make check-deploy` runs the real tools on it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import airflow
import pytest
import yaml
from airflow.configuration import retrieve_configuration_description
from airflow.sdk import Connection

from airflow_provider_evolink import __version__
from airflow_provider_evolink.api.settings import DEFAULT_HOST, Settings
from airflow_provider_evolink.emulator.settings import DEFAULT_API_KEY
from airflow_provider_evolink.get_provider_info import get_provider_info
from airflow_provider_evolink.hooks.connection_settings import settings_from
from airflow_provider_evolink.hooks.evolink import DEFAULT_CONN_ID
from airflow_provider_evolink.ui.roots import parse_root

PROJECT = Path(__file__).parent.parent
DEPLOY = PROJECT / "deploy"
CONN_NAME = f"AIRFLOW_CONN_{DEFAULT_CONN_ID.upper()}"
USES_EVOLINK = {"worker", "triggerer"}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:?[-?][^}]*)?\}")
FILLED_IN = "sk-filled-in"


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return content


COMPOSE = _read("docker-compose.yaml")
EMULATOR = _read("docker-compose.emulator.yaml")
VALUES = {name: _read(f"helm/{name}.yaml") for name in ("values", "values-celery", "values-kubernetes")}
TRIGGERER = COMPOSE["services"]["triggerer"]


def _interpolated(text: object) -> str:
    """Return a value as Compose interpolates it for a user who has filled in the required values only."""

    def value(match: re.Match[str]) -> str:
        name, rest = match[1], match[2] or ""
        return FILLED_IN if name == "EVOLINK_API_KEY" else rest.removeprefix(":-") if rest.startswith(":-") else "x"

    return VARIABLE.sub(value, str(text)).replace("$$", "$")


def _environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: _interpolated(value) for name, value in service.get("environment", {}).items()}


def _known_options() -> set[tuple[str, str]]:
    sections = retrieve_configuration_description(include_providers=False)
    core = {(section, option) for section, content in sections.items() for option in content["options"]}
    # Airflow's own list of what the Celery and Kubernetes executors read; the extra option has no default there.
    providers = RawConfigParser()
    providers.read(Path(airflow.__file__).parent / "config_templates" / "provider_config_fallback_defaults.cfg")
    executors = {(section, option) for section in providers.sections() for option in providers.options(section)}
    own = {
        (section, option) for section, content in get_provider_info()["config"].items() for option in content["options"]
    }
    return core | executors | own | {("celery", "result_backend")}


def _helm_environment(owner: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in owner["env"]}


def _component(path: str) -> dict[str, Any]:
    owner = VALUES["values"]
    for part in path.split("."):
        owner = owner[part]
    return owner


def _volumes(service: str) -> dict[str, str]:
    """Return where a service of the Compose file mounts what, by what it mounts."""
    return dict(entry.split(":", 1) for entry in COMPOSE["services"][service]["volumes"])


def _settings(connection: str) -> Settings:
    return settings_from(DEFAULT_CONN_ID, Connection.from_json(connection, conn_id=DEFAULT_CONN_ID))


def _init_script(source: str) -> str:
    if source == "compose":
        return str(COMPOSE["services"]["init"]["command"][-1]).replace("$$", "$")
    return str(VALUES["values"]["migrateDatabaseJob"]["args"][-1])


def _slots(source: str) -> int:
    if source == "compose":
        return int(_environment(COMPOSE["services"]["init"])["EVOLINK_POOL_SLOTS"])
    return int(_helm_environment(VALUES["values"]["migrateDatabaseJob"])["EVOLINK_POOL_SLOTS"])


def test_everything_uses_the_tested_airflow() -> None:
    """Image, Compose and Helm use the Airflow version of constraints.txt."""
    found = re.search(r"^apache-airflow==(\S+)$", (PROJECT / "constraints.txt").read_text(), re.MULTILINE)
    assert found
    version = found[1]
    images = [_interpolated(service["image"]) for service in COMPOSE["services"].values() if "build" in service]
    images.append(EMULATOR["services"]["emulator"]["image"])
    assert f"ARG AIRFLOW_VERSION={version}\n" in (DEPLOY / "Dockerfile").read_text()
    assert {image.rpartition(":")[2] for image in images} == {version}
    assert VALUES["values"]["airflowVersion"] == VALUES["values"]["defaultAirflowTag"] == version


def test_every_setting_exists_in_airflow() -> None:
    """No setting is misspelled or removed: Airflow would ignore it silently."""
    names = {name for service in COMPOSE["services"].values() for name in service.get("environment", {})}
    variables = [name.split("__") for name in names if name.startswith("AIRFLOW__")]
    compose = {(section.lower(), option.lower()) for _, section, option in variables}
    helm = {
        (section, option)
        for values in VALUES.values()
        for section, options in values.get("config", {}).items()
        for option in options
    }
    assert len(compose) > 10
    assert len(helm) > 3
    assert (compose | helm) - _known_options() == set()


@pytest.mark.parametrize("name", sorted(USES_EVOLINK))
def test_the_connection_holds_the_api_key(name: str) -> None:
    """The connection that Compose builds from the API key leads to EvoLink with that key."""
    settings = _settings(_environment(COMPOSE["services"][name])[CONN_NAME])
    assert (settings.base_url, settings.api_key) == (DEFAULT_HOST, FILLED_IN)


def test_the_hook_accepts_the_connection_to_the_emulator() -> None:
    """The emulator's connection holds its API key, and its address is on the shared loopback interface."""
    entrypoint = EMULATOR["services"]["emulator"]["entrypoint"]
    port = entrypoint[entrypoint.index("--port") + 1]
    for name in USES_EVOLINK:
        service = EMULATOR["services"][name]
        settings = _settings(service["environment"][CONN_NAME])
        assert service["network_mode"] == "service:emulator"
        assert (settings.base_url, settings.api_key) == (f"http://127.0.0.1:{port}", DEFAULT_API_KEY)
        assert settings.is_loopback


@pytest.mark.parametrize("path", ["triggerer", "workers.celery", "workers.kubernetes"])
def test_kubernetes_builds_the_connection_from_the_secret(path: str) -> None:
    """The connection that Kubernetes builds from the secret leads to EvoLink with its API key, on every component."""
    key, connection, *_ = _component(path)["env"]
    # Kubernetes expands only variables that are defined further up in the list.
    assert key == {"name": "EVOLINK_API_KEY", "valueFrom": {"secretKeyRef": {"name": "evolink", "key": "api-key"}}}
    assert connection["name"] == CONN_NAME
    settings = _settings(connection["value"].replace("$(EVOLINK_API_KEY)", FILLED_IN))
    assert (settings.base_url, settings.api_key) == (DEFAULT_HOST, FILLED_IN)


def test_only_components_that_call_evolink_get_the_api_key() -> None:
    """Neither scheduler nor API server nor DAG processor receives the API key."""
    has_key = {
        name
        for name, service in COMPOSE["services"].items()
        if any(FILLED_IN in value for value in _environment(service).values())
    }
    shared = {"env", "secret", "extraEnv", "extraEnvFrom", "extraSecrets"}
    assert has_key == USES_EVOLINK
    assert not shared & {name for values in VALUES.values() for name in values}


def test_no_secret_is_committed() -> None:
    """Every secret must be filled in, in a file that git ignores; Compose refuses to start without it."""
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    empty = {line.partition("=")[0] for line in lines if re.match(r"\w", line)}
    text = (DEPLOY / "docker-compose.yaml").read_text()
    required = {match[1] for match in VARIABLE.finditer(text) if (match[2] or "").startswith(":?")}
    assert all(line.endswith("=") for line in lines if re.match(r"\w", line))
    assert empty == required
    assert "/deploy/.env" in (PROJECT / ".gitignore").read_text().splitlines()
    for name, value in COMPOSE["x-airflow"]["environment"].items():
        if name.endswith(("_KEY", "_SECRET", "_PASSWORD")):
            assert VARIABLE.fullmatch(value), name


def test_airflow_knows_every_command() -> None:
    """Airflow's command line accepts each component's command and health check."""
    from airflow.cli.cli_parser import get_parser

    services = {name: COMPOSE["services"][name] for name in ("api-server", "scheduler", "dag-processor", "triggerer")}
    checks = [service["healthcheck"]["test"] for service in services.values()]
    commands = [check[check.index("airflow") + 1 :] for check in checks if "airflow" in check]
    assert [service["command"] for service in services.values()] == list(services)
    assert [words[-1] for words in commands] == ["DagProcessorJob", "TriggererJob"]
    for words in [[name] for name in services] + commands:
        assert callable(get_parser().parse_args(words).func)


def test_every_database_address_names_its_driver() -> None:
    """A plain ``postgresql://`` means different drivers to SQLAlchemy 2.0 and 2.1, and the image has only one."""
    addresses = re.findall(r"[\w+]*postgresql[\w+]*://", (DEPLOY / "docker-compose.yaml").read_text())

    assert sorted(addresses) == ["db+postgresql+psycopg2://", "postgresql+psycopg2://"]


@pytest.mark.parametrize("source", ["compose", "helm"])
def test_the_pool_counts_deferred_tasks(source: str) -> None:
    """The pool of the examples is created by Airflow's own command, and counts deferred tasks."""
    from airflow.cli.cli_parser import get_parser

    [line] = [line for line in _init_script(source).splitlines() if "airflow pools" in line]
    words = shlex.split(line.removeprefix("exec ").replace("$EVOLINK_POOL_SLOTS", str(_slots(source))))
    options = get_parser().parse_args(words[1:])
    assert options.pool == "evolink"
    assert options.include_deferred is True
    assert 'pool="evolink"' in (PROJECT / "dags" / "evolink_scheduled_content.py").read_text()


def test_the_ui_shows_what_the_workers_of_compose_land() -> None:
    """The API server has the workers' volume under the same path, can't write to it, and may show what is in it."""
    [text] = [value for name, value in _environment(COMPOSE["services"]["api-server"]).items() if "GALLERY" in name]
    root = parse_root(text)
    assert root.is_local
    assert _volumes("worker")["videos"] == root.path
    assert _volumes("api-server")["videos"] == f"{root.path}:ro"


@pytest.mark.parametrize("path", ["apiServer", "workers.celery", "workers.kubernetes"])
def test_who_lands_and_who_shows_on_kubernetes_have_the_same_connection(path: str) -> None:
    """The connection that the gallery's root names comes from one secret, on workers and API servers alike."""
    root = parse_root(VALUES["values"]["config"]["evolink"]["gallery_roots"])
    assert root.conn_id is not None
    assert {
        "name": f"AIRFLOW_CONN_{root.conn_id.upper()}",
        "valueFrom": {"secretKeyRef": {"name": root.conn_id, "key": "connection"}},
    } in _component(path)["env"]


def test_every_example_saves_to_the_volume() -> None:
    """What an example saves by default outlives the container of its worker, and can be shown."""
    folder = Path(_volumes("worker")["videos"]).relative_to("/tmp")
    defaults = [
        default
        for dag in (PROJECT / "dags").glob("*.py")
        for default in re.findall(r"gettempdir\(\)\}/([^\"]*)", dag.read_text())
    ]
    assert len(defaults) > 4
    assert all(Path(default).is_relative_to(folder) for default in defaults)


def test_the_image_draws_posters_and_lands_in_s3() -> None:
    """The image has extras of this package, those that posters and S3 need."""
    [extras] = re.findall(r"^ARG EXTRAS=(\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    known = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"posters", "s3"} <= set(extras.split(",")) <= known.keys()


def test_workers_stop_before_what_records_their_results() -> None:
    """Compose stops a service before those that it depends on; a stopping worker still needs the API server."""
    needed = COMPOSE["services"]["worker"]["depends_on"]
    assert {"api-server", *COMPOSE["services"]["scheduler"]["depends_on"]} == set(needed)


@pytest.mark.parametrize("source", ["compose", "helm"])
def test_one_triggerer_can_be_lost(source: str) -> None:
    """The remaining triggerers can take over everything that may be in progress."""
    if source == "compose":
        replicas = int(_interpolated(TRIGGERER["deploy"]["replicas"]))
        capacity = int(_environment(TRIGGERER)["AIRFLOW__TRIGGERER__CAPACITY"])
    else:
        values = VALUES["values"]
        replicas, capacity = values["triggerer"]["replicas"], values["config"]["triggerer"]["capacity"]
    assert replicas >= 2
    assert (replicas - 1) * capacity >= _slots(source)


def test_a_triggerer_may_open_one_file_per_task() -> None:
    """The limit on open files is far above the capacity, in Compose and in the pod."""
    [limit] = re.findall(r"ulimit -Sn (\d+)", VALUES["values"]["triggerer"]["args"][-1])
    assert TRIGGERER["ulimits"]["nofile"] > 2 * int(_environment(TRIGGERER)["AIRFLOW__TRIGGERER__CAPACITY"])
    assert int(limit) > 2 * VALUES["values"]["config"]["triggerer"]["capacity"]


def test_a_pod_raises_its_limit_as_far_as_possible() -> None:
    """Where the runtime allows fewer open files than requested, the triggerer gets the maximum."""
    shell, option, script = VALUES["values"]["triggerer"]["args"]
    limited = f"ulimit -Sn 256; ulimit -Hn 512; {script.replace('exec airflow triggerer', 'ulimit -Sn')}"
    done = subprocess.run([shell, option, limited], capture_output=True, text=True, check=True)
    assert done.stdout == "512\n"


def test_the_image_finds_what_it_builds_from(tmp_path: Path) -> None:
    """What .dockerignore lets through suffices to build the wheel, catalog included."""
    source = tmp_path / "source"
    source.mkdir()
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            path = PROJECT / line[1:]
            (shutil.copytree if path.is_dir() else shutil.copy)(path, source / path.name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    with zipfile.ZipFile(tmp_path / f"airflow_provider_evolink-{__version__}-py3-none-any.whl") as wheel:
        assert "airflow_provider_evolink/api/catalog.json" in wheel.namelist()
