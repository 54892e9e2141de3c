# SPDX-License-Identifier: Apache-2.0
"""Write ``docs/reference/models.md``: what the catalog knows about every model. Usage: ``make docs-models``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.media_rules import Limits, MediaRule
from airflow_provider_evolink.api.schema import in_words

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "models.md"
HEAD = """\
# The models

What the catalog of this version knows about EvoLink's {count} documented models, written by `make docs-models`.
Everything here is checked before a request is paid for. A model that is not listed can be used all the same: it is
sent unchecked, with a warning. [Media](../how-to/media.md) says what may be passed where a model takes media.

*Takes* lists the media parameters: how many files, of which formats, and their limits. **bytes** means that the model
takes the file itself, so that nothing is uploaded; everything else gets a link. Parameters that must be given are
**bold**.
"""
KINDS = {"video": "Models that make videos", "image": "Models that make images", "audio": "Models that make audio"}
FORMS = {"data_url": "**bytes**", "voice_id": "or the id of a voice", "url_in_prompt": "links within the text"}
LONGEST_LIST = 8


def page() -> str:
    """Return the page."""
    models = [model for model in map(catalog.find, catalog.names()) if model]
    parts = [HEAD.format(count=len(models))]
    for kind, title in KINDS.items():
        rows = [row for model in models if model.media_type == kind for row in rows_of(model)]
        parts.append(f"\n## {title}\n\n| model | takes | parameters |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def rows_of(model: catalog.Model) -> Iterator[str]:
    """Yield the line of a model."""
    required = model.schema.get("required", ())
    names = [name for name in model.schema["properties"] if name not in model.media]
    parameters = "; ".join(parameter(model, name, is_required=name in required) for name in names)
    media = "<br>".join(takes(path, rule, is_required=path in required) for path, rule in model.media.items())
    withdrawn = f", withdrawn: use `{model.replaced_by}`" if model.replaced_by else ""
    yield f"| [`{model.name}`]({model.documentation}){withdrawn} | {media or '-'} | {parameters} |"


def parameter(model: catalog.Model, name: str, *, is_required: bool) -> str:
    """Describe a parameter."""
    schema = model.schema["properties"][name]
    allowed = f"one of {len(schema['enum'])} values" if len(schema.get("enum", ())) > LONGEST_LIST else in_words(schema)
    inner = ", ".join(f"`{inner}`" for inner in schema.get("properties", ()))
    allowed = f"an object of {inner}" if inner else allowed
    default = f" (default {schema['default']})" if "default" in schema else ""
    shown = f"**`{name}`**" if is_required else f"`{name}`"
    return f"{shown}: {allowed}{default}".replace("|", "\\|")


def takes(path: str, rule: MediaRule, *, is_required: bool) -> str:
    """Describe a media parameter."""
    shown = f"**`{path}`**" if is_required else f"`{path}`"
    return f"{shown}: {', '.join(limits_of(rule))}"


def limits_of(rule: MediaRule) -> Iterator[str]:
    """Yield what limits a media parameter."""
    yield counted_kind(rule)
    if rule.formats:
        yield " ".join(rule.formats)
    yield from (text for form, text in FORMS.items() if form in rule.forms)
    if rule.max_mb:
        yield f"{rule.max_mb:g} MB"
    limits = {
        "px sides": rule.side,
        "px shorter side": rule.short_side,
        "px longer side": rule.long_side,
        "px in total": rule.pixels,
        "s": rule.seconds,
        "s together": (None, rule.total_seconds) if rule.total_seconds else None,
    }
    yield from (f"{in_range(limit)} {unit}" for unit, limit in limits.items() if limit)
    if rule.aspect:
        yield f"{rule.aspect[0]} to {rule.aspect[1]}"


def counted_kind(rule: MediaRule) -> str:
    """Return how many of what a parameter takes."""
    noun = {"audio": "audio file"}.get(rule.kind, rule.kind)
    low, high = rule.min_count or 0, rule.max_count
    if not rule.is_list or (low, high) == (1, 1):
        return f"1 {noun}"
    return f"{low} to {high} {noun}s" if high else f"{noun}s"


def in_range(limits: Limits) -> str:
    """Return limits as text."""
    low, high = limits
    return f"≤ {high:,}" if low is None else f"≥ {low:,}" if high is None else f"{low:,}-{high:,}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
