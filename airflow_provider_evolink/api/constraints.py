# SPDX-License-Identifier: Apache-2.0
"""Rules between a model's parameters: which go together, which exclude each other, which depend on another's value."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_evolink.api.errors import InvalidInputError

Rule = Mapping[str, Any]
# A parameter, and what is wrong with it.
Breach = tuple[str, str]


def check_rules(parameters: Mapping[str, Any], rules: Sequence[Rule], schema: Mapping[str, Any]) -> list[str]:
    """
    Refuse parameters that break a rule between them.

    :param parameters: values that each fit their own schema.
    :param rules: the catalogue's, in its notation.
    :param schema: gives the defaults of what is left out.
    :return: one warning for each parameter that EvoLink would ignore or cut without an error.
    :raises InvalidInputError: names the parameter and the rule.
    """
    given = Given(parameters, schema)
    warnings = []
    for rule in rules:
        for parameter, problem in _RULES[rule["rule"]](rule, given):
            if not rule.get("is_advice"):
                raise InvalidInputError(parameter, given.value(parameter), problem)
            warnings.append(f"{parameter}: {problem}. It is sent as it is, and EvoLink ignores what does not fit.")
    return warnings


@dataclass(frozen=True)
class Given:
    """
    The parameters of a request, by dotted names.

    :param parameters: what is sent.
    :param schema: JSON schema with the defaults.
    """

    parameters: Mapping[str, Any]
    schema: Mapping[str, Any]

    def value(self, path: str) -> Any:
        """Return what is given under a name; None for nothing."""
        found: Any = self.parameters
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def effective(self, path: str) -> Any:
        """Return what is given under a name, or else its documented default."""
        value = self.value(path)
        return self._default(path) if value is None else value

    def count(self, path: str) -> int:
        """Return the number of entries of a list, and 1 for any other value that is given and not blank."""
        value = self.value(path)
        if isinstance(value, list | tuple):
            return len(value)
        return 0 if value is None or value == {} or (isinstance(value, str) and not value.strip()) else 1

    def amount(self, path: str) -> int:
        """Return what a parameter adds to a total: a number itself, anything else its count."""
        value = self.value(path)
        return value if isinstance(value, int) and not isinstance(value, bool) else self.count(path)

    def present(self, paths: Sequence[str]) -> list[str]:
        """Return which of these names are given."""
        return [path for path in paths if self.count(path)]

    def meets(self, condition: Mapping[str, Any]) -> bool:
        """Tell whether all parts of a rule's condition hold."""
        return all(self._is(path, wanted) for path, wanted in condition.items())

    def _is(self, path: str, wanted: Any) -> bool:
        if isinstance(wanted, Mapping):
            return bool(wanted.get("min", 0) <= self.count(path) <= wanted.get("max", float("inf")))
        return self.effective(path) in (wanted if isinstance(wanted, list) else [wanted])

    def _default(self, path: str) -> Any:
        schema: Mapping[str, Any] = self.schema
        for name in path.split("."):
            schema = schema.get("properties", {}).get(name, {})
        return schema.get("default")


def weight(text: str, han: int) -> int:
    """Return a text's length in which a Chinese character counts ``han`` times."""
    return sum(han if unicodedata.name(char, "").startswith("CJK UNIFIED") else 1 for char in text)


def _one_of(rule: Rule, given: Given) -> Iterator[Breach]:
    if not given.present(rule["params"]):
        yield rule["params"][0], f"one of {_listed(rule['params'], 'or')} is required"


def _exactly_one(rule: Rule, given: Given) -> Iterator[Breach]:
    yield from _one_of(rule, given)
    yield from _excludes(rule, given)


def _excludes(rule: Rule, given: Given) -> Iterator[Breach]:
    first, *others = given.present(rule["params"]) or [""]
    if others:
        yield others[0], f"it can't be given together with {first}"


def _excludes_values(rule: Rule, given: Given) -> Iterator[Breach]:
    if given.meets(rule["values"]):
        yield list(rule["values"])[-1], f"these can't go together: {_in_words(rule['values'])}"


def _needs(rule: Rule, given: Given) -> Iterator[Breach]:
    missing = [name for name in rule["with"] if not given.count(name)]
    for name in given.present(rule["params"]) if missing else ():
        yield name, f"it needs {_listed(missing, 'and')} beside it"


def _needs_any(rule: Rule, given: Given) -> Iterator[Breach]:
    for name in [] if given.present(rule["with"]) else given.present(rule["params"]):
        yield name, f"it needs {_listed(rule['with'], 'or')} beside it"


def _together(rule: Rule, given: Given) -> Iterator[Breach]:
    present = given.present(rule["params"])
    for name in rule["params"] if present else ():
        if name not in present:
            yield name, f"it is required together with {_listed(present, 'and')}"


def _required_if(rule: Rule, given: Given) -> Iterator[Breach]:
    for name in rule["params"]:
        if given.meets(rule["if"]) and not given.count(name):
            yield name, f"it is required when {_in_words(rule['if'])}"


def _only_if(rule: Rule, given: Given) -> Iterator[Breach]:
    for name in [] if given.meets(rule["if"]) else given.present(rule["params"]):
        yield name, f"it may be given only when {_in_words(rule['if'])}"


def _values_if(rule: Rule, given: Given) -> Iterator[Breach]:
    for name in given.present(rule["params"]) if given.meets(rule["if"]) else ():
        if given.value(name) not in rule["values"]:
            wanted = _listed(list(map(repr, rule["values"])), "or")
            yield name, f"it must be {wanted} when {_in_words(rule['if'])}"


def _count_if(rule: Rule, given: Given) -> Iterator[Breach]:
    low, high = rule.get("min", 0), rule["max"]
    for name in rule["params"] if given.meets(rule["if"]) else ():
        if not low <= given.count(name) <= high:
            wanted = f"from {low} to {high} entries" if low < high else f"exactly {low} entry"
            yield name, f"it must have {wanted} when {_in_words(rule['if'])}"


def _max_length_if(rule: Rule, given: Given) -> Iterator[Breach]:
    for name in rule["params"] if given.meets(rule["if"]) else ():
        if len(given.value(name) or "") > rule["max"]:
            yield name, f"it may have at most {rule['max']} characters when {_in_words(rule['if'])}"


def _max_weight(rule: Rule, given: Given) -> Iterator[Breach]:
    han = rule.get("han", 1)
    counted = f", of which a Chinese one counts {han}" if han > 1 else ""
    for name in rule["params"]:
        if weight(given.value(name) or "", han) > rule["max"]:
            yield name, f"it may have at most {rule['max']} characters{counted}"


def _max_total(rule: Rule, given: Given) -> Iterator[Breach]:
    total = sum(map(given.amount, rule["params"]))
    if total > rule["max"] and given.meets(rule.get("if", {})):
        when = f" when {_in_words(rule['if'])}" if "if" in rule else ""
        names = _listed(rule["params"], "and")
        yield given.present(rule["params"])[-1], f"{names} may add up to at most {rule['max']}{when}, not {total}"


def _difference(rule: Rule, given: Given) -> Iterator[Breach]:
    later, earlier = rule["params"]
    if len(given.present(rule["params"])) == 2:
        apart = given.value(later) - given.value(earlier)
        if not rule["min"] <= apart <= rule["max"]:
            yield later, f"it must be from {rule['min']} to {rule['max']} above {earlier}"


def _equal_if_both(rule: Rule, given: Given) -> Iterator[Breach]:
    first, second = rule["params"]
    if len(given.present(rule["params"])) == 2 and given.value(first) != given.value(second):
        yield second, f"it must be the same as {first} if both are given"


def _sum(rule: Rule, given: Given) -> Iterator[Breach]:
    (name,) = rule["params"]
    parts = [str(part.get(rule["of"])) for part in given.value(name) or ()]
    whole = given.effective(rule["equals"])
    if parts and all(map(str.isdecimal, parts)) and sum(map(int, parts)) != whole:
        yield name, f"the {rule['of']} of its entries must add up to {rule['equals']}, which is {whole}"


def _unsupported(rule: Rule, given: Given) -> Iterator[Breach]:
    for name in given.present(rule["params"]):
        yield name, "this model does not take it"


def _listed(names: Sequence[str], conjunction: str) -> str:
    *others, last = names
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def _in_words(condition: Mapping[str, Any]) -> str:
    return " and ".join(_part_in_words(path, wanted) for path, wanted in condition.items())


def _part_in_words(path: str, wanted: Any) -> str:
    if not isinstance(wanted, Mapping):
        values = wanted if isinstance(wanted, list) else [wanted]
        return f"{path} is {_listed(list(map(_value_in_words, values)), 'or')}"
    if wanted.get("max") == 0:
        return f"{path} is not given"
    return f"{path} is given" if wanted["min"] == 1 else f"{path} has {wanted['min']} or more entries"


def _value_in_words(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


_RULES: Mapping[str, Callable[[Rule, Given], Iterator[Breach]]] = {
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
