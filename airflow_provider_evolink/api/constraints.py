# SPDX-License-Identifier: Apache-2.0
"""Check rules between a model's parameters: combinations, exclusions, and values that depend on another's."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.schema import in_words, listed

Rule = Mapping[str, Any]
# A parameter, and what is allowed for it, worded to complete "must be ...".
Violation = tuple[str, str]


def check_rules(parameters: Mapping[str, Any], rules: Sequence[Rule], schema: Mapping[str, Any]) -> list[str]:
    """Reject parameters that break a rule between them.

    :param parameters: values that each fit their own schema.
    :param rules: rules in the catalog's notation.
    :param schema: source of the defaults for what is left out.
    :return: one warning for each parameter that EvoLink would ignore or truncate without an error.
    :raises InvalidInputError: names the parameter and what the rule allows.
    """
    given = Given(parameters, schema)
    warnings = []
    for rule in rules:
        for parameter, allowed in _RULES[rule["rule"]](rule, given):
            if not rule.get("is_advice"):
                raise InvalidInputError(parameter, given.value(parameter), allowed)
            warnings.append(
                f"`{parameter}` should be {allowed}. It is sent as is; EvoLink ignores or truncates what does not fit."
            )
    return warnings


@dataclass(frozen=True)
class Given:
    """The parameters of a request, by dotted names.

    :param parameters: what is sent.
    :param schema: JSON schema with the defaults.
    """

    parameters: Mapping[str, Any]
    schema: Mapping[str, Any]

    def value(self, path: str) -> Any:
        """Return the value of a parameter; None if it is not given."""
        found: Any = self.parameters
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def effective(self, path: str) -> Any:
        """Return the value of a parameter, or else its documented default."""
        value = self.value(path)
        return self._default(path) if value is None else value

    def count(self, path: str) -> int:
        """Return the number of items of a list, and 1 for any other value that is given and not blank."""
        value = self.value(path)
        if isinstance(value, list | tuple):
            return len(value)
        return 0 if value is None or value == {} or (isinstance(value, str) and not value.strip()) else 1

    def amount(self, path: str) -> int:
        """Return what a parameter adds to a total: an integer itself, anything else its count."""
        value = self.value(path)
        return value if isinstance(value, int) and not isinstance(value, bool) else self.count(path)

    def present(self, paths: Sequence[str]) -> list[str]:
        """Return which of these parameters are given."""
        return [path for path in paths if self.count(path)]

    def meets(self, condition: Mapping[str, Any]) -> bool:
        """Return whether all parts of a rule's condition hold."""
        return all(self._is(path, expected) for path, expected in condition.items())

    def _is(self, path: str, expected: Any) -> bool:
        if isinstance(expected, Mapping):
            return bool(expected.get("min", 0) <= self.count(path) <= expected.get("max", float("inf")))
        return self.effective(path) in (expected if isinstance(expected, list) else [expected])

    def _default(self, path: str) -> Any:
        schema: Mapping[str, Any] = self.schema
        for name in path.split("."):
            schema = schema.get("properties", {}).get(name, {})
        return schema.get("default")


def weight(text: str, han: int) -> int:
    """Return the length of a text in characters, where a Chinese one counts as ``han``."""
    return sum(han if unicodedata.name(char, "").startswith("CJK UNIFIED") else 1 for char in text)


def _one_of(rule: Rule, given: Given) -> Iterator[Violation]:
    first, *others = rule["params"]
    if not given.present(rule["params"]):
        yield first, f"given unless {_names(others, 'or')} is given"


def _exactly_one(rule: Rule, given: Given) -> Iterator[Violation]:
    yield from _one_of(rule, given)
    yield from _excludes(rule, given)


def _excludes(rule: Rule, given: Given) -> Iterator[Violation]:
    first, *others = given.present(rule["params"]) or [""]
    if others:
        yield others[0], f"left out when `{first}` is given"


def _excludes_values(rule: Rule, given: Given) -> Iterator[Violation]:
    *others, (name, value) = rule["values"].items()
    if given.meets(rule["values"]):
        yield name, f"anything but {_value(value)} when {_condition(dict(others))}"


def _needs(rule: Rule, given: Given) -> Iterator[Violation]:
    missing = [name for name in rule["with"] if not given.count(name)]
    for name in given.present(rule["params"]) if missing else ():
        yield name, f"accompanied by {_names(missing, 'and')}"


def _needs_any(rule: Rule, given: Given) -> Iterator[Violation]:
    for name in [] if given.present(rule["with"]) else given.present(rule["params"]):
        yield name, f"accompanied by {_names(rule['with'], 'or')}"


def _together(rule: Rule, given: Given) -> Iterator[Violation]:
    present = given.present(rule["params"])
    for name in rule["params"] if present else ():
        if name not in present:
            yield name, f"given together with {_names(present, 'and')}"


def _required_if(rule: Rule, given: Given) -> Iterator[Violation]:
    for name in rule["params"]:
        if given.meets(rule["if"]) and not given.count(name):
            yield name, f"given when {_condition(rule['if'])}"


def _only_if(rule: Rule, given: Given) -> Iterator[Violation]:
    for name in [] if given.meets(rule["if"]) else given.present(rule["params"]):
        yield name, f"left out {_unless(rule['if'])}"


def _values_if(rule: Rule, given: Given) -> Iterator[Violation]:
    for name in given.present(rule["params"]) if given.meets(rule["if"]) else ():
        if given.value(name) not in rule["values"]:
            yield name, f"{_values(rule['values'])} when {_condition(rule['if'])}"


def _count_if(rule: Rule, given: Given) -> Iterator[Violation]:
    low, high = rule.get("min"), rule["max"]
    for name in rule["params"] if given.meets(rule["if"]) else ():
        if not (low or 0) <= given.count(name) <= high:
            allowed = in_words({"type": "array", "minItems": low, "maxItems": high})
            yield name, f"{allowed} when {_condition(rule['if'])}"


def _max_length_if(rule: Rule, given: Given) -> Iterator[Violation]:
    for name in rule["params"] if given.meets(rule["if"]) else ():
        if len(given.value(name) or "") > rule["max"]:
            yield name, f"text of at most {rule['max']} characters when {_condition(rule['if'])}"


def _max_weight(rule: Rule, given: Given) -> Iterator[Violation]:
    han = rule.get("han", 1)
    counted = f", where a Chinese one counts as {han}" if han > 1 else ""
    for name in rule["params"]:
        if weight(given.value(name) or "", han) > rule["max"]:
            yield name, f"text of at most {rule['max']} characters{counted}"


def _max_total(rule: Rule, given: Given) -> Iterator[Violation]:
    total = sum(map(given.amount, rule["params"]))
    if total > rule["max"] and given.meets(rule.get("if", {})):
        when = f" when {_condition(rule['if'])}" if "if" in rule else ""
        limit = f"{_names(rule['params'], 'and')} add up to at most {rule['max']}{when}"
        yield given.present(rule["params"])[-1], f"chosen so that {limit}; they add up to {total}"


def _difference(rule: Rule, given: Given) -> Iterator[Violation]:
    later, earlier = rule["params"]
    if len(given.present(rule["params"])) == 2:
        difference = given.value(later) - given.value(earlier)
        if not rule["min"] <= difference <= rule["max"]:
            yield later, f"{rule['min']} to {rule['max']} more than `{earlier}`"


def _equal_if_both(rule: Rule, given: Given) -> Iterator[Violation]:
    first, second = rule["params"]
    if len(given.present(rule["params"])) == 2 and given.value(first) != given.value(second):
        yield second, f"equal to `{first}` when both are given"


def _sum(rule: Rule, given: Given) -> Iterator[Violation]:
    (name,) = rule["params"]
    objects = given.value(name) or ()
    if not all(isinstance(part, Mapping) for part in objects):
        yield name, f"a list of objects, each with its `{rule['of']}`"
        return
    parts = [str(part.get(rule["of"])) for part in objects]
    whole = given.effective(rule["equals"])
    if parts and all(map(str.isdecimal, parts)) and sum(map(int, parts)) != whole:
        yield name, f"a list whose `{rule['of']}` values add up to `{rule['equals']}`, which is {whole}"


def _unsupported(rule: Rule, given: Given) -> Iterator[Violation]:
    for name in given.present(rule["params"]):
        yield name, "left out: this model does not support it"


def _names(names: Sequence[str], conjunction: str) -> str:
    return listed([f"`{name}`" for name in names], conjunction)


def _values(values: Sequence[object]) -> str:
    return listed(list(map(_value, values)), "or")


def _condition(condition: Mapping[str, Any]) -> str:
    return " and ".join(_part_of_condition(path, expected) for path, expected in condition.items())


def _unless(condition: Mapping[str, Any]) -> str:
    """Word an exception, without a double negative where what is excepted is that a parameter is missing."""
    (path, expected), *others = condition.items()
    is_absence = not others and isinstance(expected, Mapping) and expected.get("max") == 0
    return f"when `{path}` is given" if is_absence else f"unless {_condition(condition)}"


def _part_of_condition(path: str, expected: Any) -> str:
    if not isinstance(expected, Mapping):
        return f"`{path}` is {_values(expected if isinstance(expected, list) else [expected])}"
    if expected.get("max") == 0:
        return f"`{path}` is not given"
    return f"`{path}` is given" if expected["min"] == 1 else f"`{path}` has {expected['min']} or more items"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


_RULES: Mapping[str, Callable[[Rule, Given], Iterator[Violation]]] = {
    "one_of": _one_of,
    "exactly_one": _exactly_one,
    "excludes": _excludes,
    "excludes_values": _excludes_values,
    "needs": _needs,
    "needs_any": _needs_any,
    "together": _together,
    "required_if": _required_if,
    "only_if": _only_if,
    "values_if": _values_if,
    "count_if": _count_if,
    "max_length_if": _max_length_if,
    "max_weight": _max_weight,
    "max_total": _max_total,
    "difference": _difference,
    "equal_if_both": _equal_if_both,
    "sum": _sum,
    "unsupported": _unsupported,
}
