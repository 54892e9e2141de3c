"""The ranges of pyproject.toml against the versions that the suite is run with."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
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


# The distributions that are not called as what is imported of them.
DISTRIBUTIONS = {
    "airflow": "apache-airflow",
    "airflow.providers.http": "apache-airflow-providers-http",
    "python_multipart": "python-multipart",
}


def imported() -> set[str]:
    """The distributions that the package imports, wherever in a file it does so."""
    names: set[str] = set()
    for file in (PROJECT / "airflow_provider_evolink").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
    # A provider is a distribution of its own.
    tops = {".".join(name.split(".")[: 3 if name.startswith("airflow.providers.") else 1]) for name in names}
    return {DISTRIBUTIONS.get(top, top) for top in tops - sys.stdlib_module_names - {"airflow_provider_evolink"}}


def pins(name: str) -> dict[str, Version]:
    """Each version of a list."""

    def each() -> Iterator[tuple[str, Version]]:
        for line in (LISTS / name).read_text(encoding="utf-8").splitlines():
            pin = Requirement(line)
            [version] = pin.specifier
            yield canonicalize_name(pin.name), Version(version.version)

    return dict(each())


MANAGED = pins("mwaa-3.3.1.txt")
LOWEST = pins("lowest.txt")


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_a_managed_service_has_it_in_range(requirement: Requirement) -> None:
    """What a managed Airflow pins is allowed, so the package installs beside it."""
    # Its Airflow, which the list leaves out, is 3.3.1; PyAV it does without.
    version = {"apache-airflow": Version("3.3.1"), "av": None, **MANAGED}[requirement.name]

    assert version is None or version in requirement.specifier


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_each_lower_bound_is_tested(requirement: Requirement) -> None:
    """The lowest version that is allowed is the one that `make test-lowest` runs with."""
    [bound] = [part for part in requirement.specifier if part.operator == ">="]

    assert LOWEST[requirement.name] == Version(bound.version)


def test_what_is_imported_is_required() -> None:
    """The package relies on nobody else to bring what it imports; pytest is there where its fixture is."""
    assert imported() - {"pytest"} <= {requirement.name for requirement in REQUIREMENTS}


def test_the_python_versions_are_said_once_and_the_same() -> None:
    """The classifiers name each Python that may be used, and no other."""
    named = {text.rpartition(" ")[2] for text in _METADATA["classifiers"] if "Python :: 3." in text}
    allowed = Requirement(f"python{_METADATA['requires-python']}").specifier

    assert named == {f"3.{minor}" for minor in range(20) if f"3.{minor}" in allowed}
