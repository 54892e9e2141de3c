# SPDX-License-Identifier: Apache-2.0
"""MkDocs hooks: pages link to files of the project, and have tables that are generated from the code.

A link from a page to a file outside of ``docs/`` works in the repository. In the site it leads to a page made of that
file: Markdown as it is, code as code, a folder as a list. The home page is the README.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import docs_tables
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Pages of the site that are made of other files than those in docs/.
_PAGES = {
    "README.md": "index.md",
    **{name: f"project/{name}" for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "deploy/README.md")},
}
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_GENERATED = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".sh": "bash", ".html": "html"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file of the project that a page links to."""
    markdown = [file.src_uri for file in files if file.src_uri.endswith(".md")]
    for source, uri in _PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / source).read_text(encoding="utf-8")))
    linked = {target for uri in [*markdown, *_PAGES.values()] for target in _targets(uri)}
    for target in sorted(target for target in linked if _uri(target) == f"source/{target}.md"):
        uri, content = f"source/{target}.md", _listing(target)
        files.append(File.generated(config, uri, content=content, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Rewrite a page's links to files of the project, and fill in its generated tables."""
    uri = page.file.src_uri
    if uri.startswith("source/"):
        return markdown
    markdown = _GENERATED.sub(lambda match: docs_tables.TABLES[match[1]](), markdown)
    return _LINK.sub(lambda match: _rewritten(uri, match[1]) + (match[2] or ""), markdown)


def _origin(uri: str) -> str:
    """Return the file of the project that a page is made of."""
    return {page: source for source, page in _PAGES.items()}.get(uri, f"docs/{uri}")


def _uri(target: str) -> str:
    """Return the page or file of the site that stands for a file of the project."""
    if target in _PAGES:
        return _PAGES[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"source/{target}.md"


def _resolved(uri: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(_origin(uri)), link))


def _rewritten(uri: str, link: str) -> str:
    target = _resolved(uri, link)
    return posixpath.relpath(_uri(target), posixpath.dirname(uri) or ".") if (ROOT / target).exists() else link


def _targets(uri: str) -> Iterator[str]:
    """Yield the existing files and folders of the project that a page links to."""
    for match in _LINK.finditer((ROOT / _origin(uri)).read_text(encoding="utf-8")):
        target = _resolved(uri, match[1])
        if (ROOT / target).exists():
            yield target


def _listing(target: str) -> str:
    """Return a file or folder of the project as a page that no search finds."""
    path = ROOT / target
    if path.is_dir():
        names = sorted(entry.name for entry in os.scandir(path) if entry.name[0] not in "._")
        body = "\n".join(f"- `{name}`" for name in names)
    else:
        text = path.read_text(encoding="utf-8")
        body = f"````{_LANGUAGES.get(path.suffix, 'text')}\n{text}\n````"
    return f"---\nsearch: {{exclude: true}}\n---\n# {target}\n\n{body}\n"
