# SPDX-License-Identifier: Apache-2.0
"""Write ``airflow_provider_evolink/api/catalog.json`` from facts that were collected from EvoLink's own pages.

Usage: ``python scripts/make_catalog.py models.json``. The same facts give the same bytes.

The catalog keeps what can be checked before paying: types, ranges, and rules between parameters. Rules that EvoLink
does not enforce (it ignores or truncates what breaks them) become advice. Limits in tokens, and step widths, can't be
checked exactly and are left out.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

Facts = dict[str, Any]

CATALOG = Path(__file__).parents[1] / "airflow_provider_evolink" / "api" / "catalog.json"
COPIED = ("type", "default", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern")
PAGES = "en/api-manual/"
# Conditions that the facts give as text.
CONDITIONS: dict[str, Facts] = {
    "no image": {"image_urls": {"max": 0}},
    "2 or more images": {"image_urls": {"min": 2}},
    "video given": {"video_url": {"min": 1}},
    "size given": {"size": {"min": 1}},
    "element_list given": {"model_params.element_list": {"min": 1}},
}
# Notes in the facts that can be checked.
_FIRST_LAST = {"rule": "count_if", "params": ["image_urls"], "if": {"generation_type": "FIRST&LAST"}}
_REFERENCE = {"rule": "count_if", "params": ["image_urls"], "if": {"generation_type": "REFERENCE"}, "max": 3}
_ONE_IMAGE = {"rule": "count_if", "params": ["image_urls"], "if": {"background": "transparent"}, "min": 1, "max": 1}
NOTES: dict[str, list[Facts]] = {
    "512p only with exactly 1 image": [
        {"rule": "count_if", "params": ["image_urls"], "if": {"quality": "512p"}, "min": 1, "max": 1}
    ],
    "FIRST&LAST 1-2 images": [{**_FIRST_LAST, "min": 1, "max": 2}],
    "FIRST&LAST 1-2 images, REFERENCE at most 3; the older page version limited REFERENCE to 16:9, "
    "the newer one (41c4c7ac) does not": [{**_FIRST_LAST, "min": 1, "max": 2}, _REFERENCE],
    "REFERENCE: 8 s, 16:9 and only generate_audio besides": [
        {"rule": "values_if", "params": [name], "if": {"generation_type": "REFERENCE"}, "values": [value]}
        for name, value in (("duration", 8), ("aspect_ratio", "16:9"))
    ],
    "background transparent: exactly 1 PNG input with a transparent pixel": [_ONE_IMAGE],
    "background transparent: exactly 1 image with an alpha channel": [_ONE_IMAGE],
    "reference images + images made <= 15": [{"rule": "max_total", "params": ["image_urls", "n"], "max": 15}],
    "with shot_type intelligence the prompt is required": [
        {"rule": "required_if", "params": ["prompt"], "if": {"model_params.shot_type": "intelligence"}}
    ],
    "instruction: 100 billing characters, a Han character counts 2, any other 1 (instruction_too_long)": [
        {"rule": "max_weight", "params": ["instruction"], "max": 100, "han": 2}
    ],
    "video_urls and audio_urls are not supported": [{"rule": "unsupported", "params": ["video_urls", "audio_urls"]}],
    "the seconds of all shots must add up to duration": [
        {"rule": "sum", "params": ["model_params.multi_prompt"], "of": "duration", "equals": "duration"}
    ],
    "keep_ratio and adaptive only with an image; default 16:9 without, adaptive with": [
        {
            "rule": "values_if",
            "params": ["aspect_ratio"],
            "if": {"image_urls": {"max": 0}},
            "values": ["16:9", "9:16", "1:1", "4:3", "3:4", "21:9"],
        }
    ],
}
MASK = {"mask": "image"}
SAME_FORMAT = {"jpg": "jpeg", "heif": "heic", "ogg_opus": "ogg"}
REQUIRED_ANYWAY = "is not in required, yet the model needs"


def catalog_of(models: Facts) -> Facts:
    """Return the catalog, by model id."""
    return {name: entry_of(facts) for name, facts in sorted(models.items())}


def entry_of(facts: Facts) -> Facts:
    """Return a model's entry in the catalog."""
    if "overview" in facts["page"] or "overview" in facts["source"]["path"]:
        raise ValueError(f"{facts['page']} is an overview of several models: its rules may apply to none of them")
    estimate = facts.get("estimated_seconds", {}).get("about")
    schema = schema_of(facts)
    entry = {
        "endpoint": facts["endpoint"],
        "page": facts["page"].removeprefix(PAGES),
        "schema": schema,
        "rules": rules_of(facts),
        "link_hours": facts.get("link_life_hours") or facts.get("result_link_hours"),
        "estimated_seconds": facts.get("estimated_time_example_s") or estimate,
        "aliases": facts.get("aliases"),
        "replaced_by": facts.get("replaced_by") if facts.get("retired") else None,
        "served_as": facts.get("redirects_to"),
        "makes_files": False if makes_no_file(facts) else None,
        "media": {path: media_of(rule, facts, path, schema) for path, rule in media_by_path(facts).items()} or None,
    }
    return {key: value for key, value in entry.items() if value not in (None, [])}


def makes_no_file(facts: Facts) -> bool:
    """Return whether a generation is documented to complete without a file, at least sometimes."""
    count = facts.get("result", {}).get("count", "")
    return "no files" in count or "no results" in count


def schema_of(facts: Facts) -> Facts:
    """Return the JSON schema of a model's parameters."""
    notes = [rule["text"] for rule in facts.get("constraints", ()) if rule["rule"] == "note"]
    also = {note.split()[0] for note in notes if REQUIRED_ANYWAY in note}
    required = sorted({*facts["required"], *also})
    properties = {
        name: parameter_of(rules, media_by_path(facts), name, is_required=name in required)
        for name, rules in facts["parameters"].items()
        if name != "callback_url"
    }
    schema: Facts = {"properties": properties}
    if required:
        schema["required"] = required
    if facts.get("additional_properties") is False:
        schema["additionalProperties"] = False
    return schema


def parameter_of(rules: Facts, media: Facts, path: str, *, is_required: bool = False) -> Facts:
    """Return the schema of one parameter, in the few keywords that the provider checks and can describe."""
    branches = rules.get("oneOf") or rules.get("anyOf") or rules.get("one_of")
    if branches:
        inherited = {"type": rules["type"]} if "type" in rules else {}
        default = {"default": rules["default"]} if "default" in rules else {}
        return {"oneOf": [parameter_of({**inherited, **branch}, media, path) for branch in branches], **default}
    schema = {key: rules[key] for key in COPIED if key in rules}
    if isinstance(schema.get("type"), list):
        schema["type"] = next(name for name in schema["type"] if name != "null")
    if "enum" in rules:
        schema["enum"] = [value for value in rules["enum"] if value is not None]
    if "pixels" in rules:
        schema["pixels"] = pixels_of(rules["pixels"])
        schema.pop("pattern", None)
    nested(schema, rules, media, path)
    rule = media.get(path.replace("[]", ""), {})
    if form := format_of(rules, rule):
        schema["format"] = form
    if schema.get("type") == "array" and rule.get("min"):
        schema.setdefault("minItems", rule["min"])
    if is_required:
        not_empty(schema)
    return schema


def nested(schema: Facts, rules: Facts, media: Facts, path: str) -> None:
    """Add the schemas of what is inside a list or an object."""
    if "items" in rules:
        schema["items"] = parameter_of(rules["items"], media, f"{path}[]")
    if "properties" in rules:
        inner = rules["properties"].items()
        schema["properties"] = {name: parameter_of(value, media, f"{path}.{name}") for name, value in inner}
    if "required" in rules:
        schema["required"] = rules["required"]
    if "additionalProperties" in rules:
        schema["additionalProperties"] = parameter_of(rules["additionalProperties"], media, f"{path}.*")


def not_empty(schema: Facts) -> None:
    """Rule out blank values of a required parameter."""
    if schema["type"] == "array":
        schema.setdefault("minItems", 1)
    elif schema["type"] == "string" and not {"format", "enum", "pattern", "pixels"} & set(schema):
        schema["pattern"] = r"\S"
        if schema.get("minLength") == 1:
            del schema["minLength"]


def format_of(rules: Facts, media: Facts) -> str | None:
    """Return the format of a text that holds or links to media, as the provider checks it; None for other text."""
    if rules.get("type") != "string":
        return None
    forms = media.get("forms", ())
    if "base64" in forms:
        return "image"
    if "data_url" in forms:
        return "url-or-data-url"
    kind = MASK.get(media.get("kind", ""), media.get("kind"))
    link = f"{kind}-link" if kind in ("image", "video", "audio") else "http-url"
    return link if rules.get("format") == "uri" else None


def media_by_path(facts: Facts) -> Facts:
    """Return the facts about media by path, where a star stands for any name in an object."""
    stars = {path for path in facts.get("media", {}) if "additionalProperties" in parameter_at(facts, path)}
    return {f"{path}.*" if path in stars else path: rule for path, rule in facts.get("media", {}).items()}


def parameter_at(facts: Facts, path: str) -> Facts:
    """Return what is documented about a parameter, or about the one that holds it where it is not listed itself."""
    found: Facts = {"properties": facts["parameters"]}
    for name in path.split("."):
        found = found.get("items", found)
        found = found.get("properties", {}).get(name, {})
    return found


def media_of(rule: Facts, facts: Facts, path: str, schema: Facts) -> Facts:
    """Return what a parameter takes, in the words of :class:`airflow_provider_evolink.api.media_rules.MediaRule`."""
    formats = {SAME_FORMAT.get(name, name): None for name in rule.get("formats", ())}
    side = rule.get("px_side") or ([rule["px_side_above"] + 1, None] if "px_side_above" in rule else None)
    notes = " ".join(rule.get("notes", ()))
    found = {
        "kind": MASK.get(rule["kind"], rule["kind"]),
        "forms": rule["forms"],
        "is_list": parameter_at(facts, path).get("type") == "array" or None,
        # Where the list is open, the others are EvoLink's to judge.
        "formats": None if rule.get("formats_open") else list(formats) or None,
        # A list that is required is not empty.
        "min_count": schema["properties"].get(path, {}).get("minItems", rule.get("min")),
        "max_count": rule.get("max"),
        "max_mb": rule.get("max_mb"),
        "side": side,
        "short_side": short_side_of(rule),
        "long_side": [None, rule["px_long_side_max"]] if "px_long_side_max" in rule else None,
        "pixels": rule.get("pixels"),
        "aspect": [ratio_of(edge) for edge in rule["aspect"]] if "aspect" in rule else None,
        "seconds": rule.get("seconds"),
        "total_seconds": number(rule.get("total_seconds_max")),
        "max_url_characters": rule.get("max_url_chars"),
        "takes_result_links": False if "result links" in notes and "refused" in notes else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def short_side_of(rule: Facts) -> list[int | None] | None:
    """Return the limits of the shorter side in pixels."""
    low, high = rule.get("px_short_side", (None, rule.get("px_short_side_max")))
    if rule.get("px_short_side_op") == ">":
        low += 1
    return [low, high] if low or high else None


def ratio_of(edge: str | float) -> str:
    """Return a ratio that the facts give as ``2:5``, ``1:2.5``, ``1/16`` or 0.4 in whole numbers: ``2:5``."""
    width, _, height = str(edge).replace("/", ":").partition(":")
    ratio = Fraction(width) / Fraction(height or 1)
    return f"{ratio.numerator}:{ratio.denominator}"


def number(value: Any) -> int | None:
    """Return a number that the facts may give as text."""
    return None if value is None else int(value)


def pixels_of(rules: Facts) -> Facts:
    """Return the limits of a size in pixels, such as ``1024x768``."""
    low, high = rules.get("side", (None, None))
    if "side_above" in rules:
        low = rules["side_above"] + 1
    ratio = rules.get("max_ratio") or max(Fraction(edge) for edge in rules.get("ratio", (0,)))
    limits = {"side": [low, high] if low or high else None, "area": rules.get("area"), "step": rules.get("step")}
    return {**{key: value for key, value in limits.items() if value}, **({"ratio": int(ratio)} if ratio else {})}


def rules_of(facts: Facts) -> list[Facts]:
    """Return the rules between a model's parameters."""
    rules = [rule for constraint in facts.get("constraints", ()) for rule in from_constraint(constraint)]
    if facts.get("unsupported"):
        rules.append({"rule": "unsupported", "params": sorted(facts["unsupported"])})
    for name, limits in facts["parameters"].items():
        rules += from_limit(name, limits.get("x_max_chars"))
    for mode in facts.get("oneOf", ()):
        rules += from_mode(mode, facts["required"])
    return rules


def from_constraint(rule: Facts) -> list[Facts]:
    """Return the rules of one constraint that can be checked."""
    if rule["rule"] == "note":
        return NOTES.get(rule["text"], [])
    plain = {key: value for key, value in rule.items() if key not in ("param", "else", "error", "note")}
    if "param" in rule:
        plain["params"] = [rule["param"]]
    if isinstance(rule.get("if"), str):
        plain["if"] = CONDITIONS[rule["if"]]
    otherwise = rule.get("else", "")
    if not otherwise:
        return [plain]
    # "no effect (duration: parameter error)": EvoLink rejects duration and ignores the rest.
    rejected = [name for name in plain.get("params", ()) if f"{name}: parameter error" in otherwise]
    ignored = [name for name in plain["params"] if name not in rejected]
    halves = [{**plain, "params": ignored, "is_advice": True}, {**plain, "params": rejected}]
    return [half for half in halves if half["params"]]


def from_limit(name: str, limit: Facts | None) -> list[Facts]:
    """Return the advice about a text that EvoLink truncates without an error."""
    if limit is None:
        return []
    longest = limit.get("any") or limit["other"]
    han = {"han": longest // limit["chinese"]} if "chinese" in limit else {}
    return [{"rule": "max_weight", "params": [name], "max": longest, **han, "is_advice": True}]


def from_mode(mode: Facts, always: list[str]) -> list[Facts]:
    """Return the rules of one of a model's modes, which its first required parameter selects."""
    leader, *others = [name for name in mode["required"] if name not in always]
    needs = [{"rule": "needs", "params": [leader], "with": others}] if others else []
    alone = [name for name in mode["not_allowed"] if name not in ("audio_url", "voice_prompt")]
    return needs + ([{"rule": "only_if", "params": alone, "if": {leader: {"max": 0}}}] if alone else [])


def write(catalog: Facts, path: Path) -> None:
    """Write one model per line, sorted."""
    lines = (f'"{name}": {json.dumps(entry, sort_keys=True, separators=(",", ":"))}' for name, entry in catalog.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write(catalog_of(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), CATALOG)
