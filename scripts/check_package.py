# SPDX-License-Identifier: Apache-2.0
"""Builds wheel and sdist as a release would, and checks that they hold everything and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_provider_evolink"
DEVELOPMENT_ONLY = {"benchmarks", "demo", "scripts", "testkit"}
PAGES = ("video.html", "gallery.html", "gallery.js", "texts.js", "gallery.css")
DATA = {
    f"{PACKAGE}/py.typed",
    f"{PACKAGE}/api/catalog.json",
    f"{PACKAGE}/lineage/EvoLinkGenerationsRunFacet.json",
    *(f"{PACKAGE}/ui/pages/{name}" for name in PAGES),
}


def main() -> int:
    """Return 0 if the package is right; 1 after printing what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        wheel, sdist = _build(Path(folder))
        problems = [*_wrong_in_wheel(wheel), *_wrong_in_sdist(sdist)]
        for problem in problems:
            print(f"package: {problem}", file=sys.stderr)
        if not problems:
            print(f"package: {wheel.name} and {sdist.name} are complete")
    return 1 if problems else 0


def _build(folder: Path) -> tuple[Path, Path]:
    """Build the wheel from the sdist, with this environment's setuptools, which constraints.txt pins."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(PROJECT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        sys.exit(f"{built.stdout}{built.stderr}")
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def _wrong_in_wheel(wheel: Path) -> Iterable[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = next(name.split("/")[0] for name in names if ".dist-info/" in name)
        metadata = archive.read(f"{info}/METADATA").decode()
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    modules = {str(path.relative_to(PROJECT)) for path in (PROJECT / PACKAGE).rglob("*.py")}
    yield from (f"{name} is missing from the wheel" for name in sorted((modules | DATA) - names))
    unexpected = {name for name in names if not name.startswith((f"{PACKAGE}/", f"{info}/"))}
    yield from (f"{name} does not belong in the wheel" for name in sorted(unexpected))
    if f"{info}/licenses/LICENSE" not in names:
        yield "the wheel has no license"
    yield from _wrong_in_metadata(metadata)
    yield from _wrong_in_entry_points(entry_points)


def _wrong_in_metadata(text: str) -> Iterable[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    metadata = Parser().parsestr(text)
    wanted = {"Name": project["name"], "License-Expression": project["license"], "Summary": project["description"]}
    for field, value in wanted.items():
        if metadata[field] != value:
            yield f"the metadata has {field}: {metadata[field]}, not {value}"
    if not metadata.get_payload():
        yield "the metadata has no long description"


def _wrong_in_entry_points(text: str) -> Iterable[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    found = ConfigParser()
    found.read_string(text)
    for group, wanted in project["entry-points"].items():
        if not found.has_section(group) or dict(found[group]) != wanted:
            yield f"the entry points of {group} differ from pyproject.toml"


def _wrong_in_sdist(sdist: Path) -> Iterable[str]:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg", *DATA):
        if name not in names:
            yield f"{name} is missing from the sdist"
    for folder in DEVELOPMENT_ONLY & {name.partition("/")[0] for name in names}:
        yield f"{folder}/ does not belong in the sdist"


if __name__ == "__main__":
    sys.exit(main())
