# SPDX-License-Identifier: Apache-2.0
"""Which package may import which, and that no modules import each other in a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("airflow_provider_evolink", "benchmarks", "demo", "testkit", "tests")
FORBIDDEN = {
    "testkit": {"benchmarks", "demo", "tests"},
    "demo": {"benchmarks", "tests"},
    "benchmarks": {"demo", "tests"},
}


def modules(*packages: str) -> dict[str, Path]:
    """Return the modules of packages, by dotted name."""
    files = (file for package in packages for file in (ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(file: Path, known: set[str]) -> set[str]:
    """Return the known modules that a file imports, also those that it imports within a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & known or {node.module}
    return found & known


@pytest.mark.parametrize("package", FORBIDDEN)
def test_support_is_shared_in_one_direction(package: str) -> None:
    """Demo and benchmarks import the testkit, never tests or each other, and the testkit imports none of them."""
    known = modules(*PACKAGES)
    targets = {target for file in modules(package).values() for target in imports(file, set(known))}
    assert not {target.partition(".")[0] for target in targets} & FORBIDDEN[package]


def test_no_circle() -> None:
    """The modules of demo, benchmarks, testkit and tests can be ordered so that each imports earlier ones only."""
    known = modules("benchmarks", "demo", "testkit", "tests")
    graph = {name: imports(file, set(known)) - {name} for name, file in known.items()}
    assert set(TopologicalSorter(graph).static_order()) >= set(known)
