# SPDX-License-Identifier: Apache-2.0
"""Tests of the version ranges in pyproject.toml against the versions that the suite runs with."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).parent.parent
LISTS = PROJECT / "tests" / "data" / "constraints"
_METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [
    Requirement(text) for text in (*_METADATA["dependencies"], *_METADATA["optional-dependencies"]["emulator"])
]

# Distributions whose name differs from that of the imported package.
DISTRIBUTIONS = {
    "airflow": "apache-airflow",
    "airflow.providers.http": "apache-airflow-providers-http",
    "openlineage": "openlineage-python",
    "python_multipart": "python-multipart",
    "airflow.providers.openlineage": "apache-airflow-providers-openlineage",
}
# Distributions that are imported only where another one runs that requires them itself, so that a requirement could
# only contradict it: the api-server of Airflow's core, its file systems, and the listener of OpenLineage's provider.
BROUGHT_BY = {
    "anyio": "starlette",
    "asgiref": "apache-airflow-core",
    "attrs": "openlineage-python",
    "fastapi": "apache-airflow-core",
    "fsspec": "apache-airflow-task-sdk",
    "openlineage-python": "apache-airflow-providers-openlineage",
    "sqlalchemy": "apache-airflow-core",
}
# What the caller of the import brings itself.
HOSTS = {"apache-airflow-providers-openlineage", "pytest"}


def imported() -> set[str]:
    """Return the distributions that the package imports, at module level or inside functions."""
    names: set[str] = set()
    for file in (PROJECT / "airflow_provider_evolink").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
    # Each Airflow provider is its own distribution.
    tops = {".".join(name.split(".")[: 3 if name.startswith("airflow.providers.") else 1]) for name in names}
    return {DISTRIBUTIONS.get(top, top) for top in tops - sys.stdlib_module_names - {"airflow_provider_evolink"}}


def pins(name: str) -> dict[str, Version]:
    """Return the pinned versions of a constraints file by distribution."""

    def each() -> Iterator[tuple[str, Version]]:
        for line in (LISTS / name).read_text(encoding="utf-8").splitlines():
            pin = Requirement(line)
            [version] = pin.specifier
            yield canonicalize_name(pin.name), Version(version.version)

    return dict(each())


# What services pin, by version of Airflow; the lists leave out Airflow itself.
MANAGED = {
    version: {"apache-airflow": Version(version), **pins(f"mwaa-{version}.txt")} for version in ("3.2.1", "3.3.1")
}
LOWEST = pins("lowest.txt")


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
@pytest.mark.parametrize("airflow", MANAGED)
def test_the_range_includes_a_managed_services_version(requirement: Requirement, airflow: str) -> None:
    """The package can be installed beside the versions that a managed Airflow pins."""
    # No list has these.
    others = dict.fromkeys(("av", "imagesize", "tinytag"))
    version = {**others, **MANAGED[airflow]}[requirement.name]

    assert version is None or version in requirement.specifier


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_each_lower_bound_is_tested(requirement: Requirement) -> None:
    """`make test-lowest` runs with exactly the lowest version that is allowed."""
    [bound] = [part for part in requirement.specifier if part.operator == ">="]

    assert LOWEST[requirement.name] == Version(bound.version)


def test_every_import_is_a_requirement() -> None:
    """Every distribution that the package imports is a requirement, or comes with what its importing code runs in."""
    assert imported() - HOSTS - BROUGHT_BY.keys() <= {requirement.name for requirement in REQUIREMENTS}


@pytest.mark.parametrize(("name", "host"), BROUGHT_BY.items())
def test_what_others_bring_is_required_by_them(name: str, host: str) -> None:
    """What the package imports without requiring it is a requirement of the distribution that brings it."""
    assert name in imported()
    assert name in {canonicalize_name(Requirement(text).name) for text in requires(host) or ()}


def test_the_python_versions_agree() -> None:
    """The classifiers name exactly the Python versions that `requires-python` allows."""
    named = {text.rpartition(" ")[2] for text in _METADATA["classifiers"] if "Python :: 3." in text}
    allowed = Requirement(f"python{_METADATA['requires-python']}").specifier

    assert named == {f"3.{minor}" for minor in range(20) if f"3.{minor}" in allowed}
