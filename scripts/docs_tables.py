# SPDX-License-Identifier: Apache-2.0
"""The tables of the documentation's site that are generated from the code; a page has ``<!-- generated: name -->``."""

from __future__ import annotations

import argparse
import ast
import inspect
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from airflow_provider_evolink import types
from airflow_provider_evolink.api import base_error, errors, input_errors
from airflow_provider_evolink.api.errors import EvoLinkError
from airflow_provider_evolink.batch import errors as batch_errors
from airflow_provider_evolink.get_provider_info import get_provider_info
from airflow_provider_evolink.recovery import errors as recovery_errors
from airflow_provider_evolink.submission.measures import METRICS

_INFO = get_provider_info()
_FIELD = re.compile(r"(?P<what>.*)\. Absent: (?P<absent>.*)\. Source: (?P<source>.*)\.", re.DOTALL)


def connection() -> str:
    """Return the table of a connection's extras."""
    [described] = _INFO["connection-types"]
    rows = ((f"`{name}`", field["label"], field["description"]) for name, field in described["conn-fields"].items())
    return _table(("extra", "label in the form", "meaning"), rows)


def configuration() -> str:
    """Return the table of the options of Airflow's configuration."""
    [(section, described)] = _INFO["config"].items()
    return _table(
        ("option", "environment variable", "default", "example", "meaning"),
        (
            (
                f"`{name}`",
                f"`AIRFLOW__{section}__{name}`".upper(),
                f"`{option['default']}`" if option["default"] else "not set",
                f"`{option['example']}`",
                option["description"],
            )
            for name, option in described["options"].items()
        ),
    )


def metrics() -> str:
    """Return the table of the metrics."""
    return _table(
        ("metric", "type", "tags", "what it counts"),
        ((f"`{name}`", each.kind, _codes(each.tags), each.meaning) for name, each in METRICS.items()),
    )


def records() -> str:
    """Return a section for each typed dictionary, with a table of its fields."""
    module = ast.parse(inspect.getsource(types))
    return "\n\n".join(_record(node) for node in module.body if isinstance(node, ast.ClassDef))


def exceptions() -> str:
    """Return the table of the errors of a single generation."""
    return _errors(errors, {base_error.__name__, input_errors.__name__, errors.__name__})


def exceptions_of_a_batch() -> str:
    """Return the table of the errors that a batch ends with."""
    return _errors(batch_errors, {batch_errors.__name__})


def exceptions_of_a_recovery() -> str:
    """Return the table of the errors that a recovery ends with."""
    return _errors(recovery_errors, {recovery_errors.__name__})


def commands() -> str:
    """Return a section for each command of ``airflow evolink``."""
    # Airflow writes its configuration where it is imported for the first time.
    with tempfile.TemporaryDirectory() as home:
        os.environ.setdefault("AIRFLOW_HOME", home)
        from airflow.cli.cli_config import GroupCommand

        from airflow_provider_evolink.cli.definition import get_evolink_cli_commands

        groups = [each for each in get_evolink_cli_commands() if isinstance(each, GroupCommand)]
    found = [(f"airflow {group.name} {each.name}", each) for group in groups for each in group.subcommands]
    return "\n\n".join(_command(name, each) for name, each in found)


def emulator_options() -> str:
    """Return the table of the emulator's options."""
    from airflow_provider_evolink.emulator.cli import build_parser

    return _arguments(build_parser())


def faults() -> str:
    """Return the table of the emulator's faults."""
    from airflow_provider_evolink.emulator.faults.kinds import ENDPOINTS, FAULT_KINDS

    return _table(
        ("fault", "endpoints", "options", "what happens"),
        (
            (
                f"`{name}`",
                _subset(kind.endpoints, ENDPOINTS),
                _codes(f"{option}={default!r}" for option, default in kind.options.items()),
                kind.effect,
            )
            for name, kind in FAULT_KINDS.items()
        ),
    )


TABLES: Mapping[str, Callable[[], str]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(connection, configuration, metrics, records, exceptions, exceptions_of_a_batch, exceptions_of_a_recovery),
        *(commands, emulator_options, faults),
    )
}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _subset(endpoints: frozenset[str], every: frozenset[str]) -> str:
    if endpoints == every:
        return "all"
    missing = every - endpoints
    return f"all but {_codes(sorted(missing))}" if len(missing) == 1 else _codes(sorted(endpoints))


def _record(node: ast.ClassDef) -> str:
    named = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    texts = [each for each in node.body[1:] if isinstance(each, ast.Expr)]
    rows = (_field(field, ast.literal_eval(text.value)) for field, text in zip(named, texts, strict=True))
    head = ("field", "type", "absent", "what it is", "source")
    return f"## {node.name}\n\n{ast.get_docstring(node)}\n\n{_table(head, rows)}"


def _field(field: ast.AnnAssign, docstring: str) -> Sequence[str]:
    name, annotation = ast.unparse(field.target), ast.unparse(field.annotation)
    parts = _FIELD.fullmatch(_line(docstring))
    if parts is None:
        raise ValueError(f"The docstring of {name} must read '… . Absent: … . Source: … .'")
    if annotation.startswith("NotRequired"):
        annotation = annotation.removeprefix("NotRequired[").removesuffix("]")
    return f"`{name}`", f"`{annotation.replace(' | ', ' or ')}`", parts["absent"], parts["what"], parts["source"]


def _errors(module: ModuleType, modules: set[str]) -> str:
    classes = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, EvoLinkError)]
    return _table(
        ("error", "is a", "permanent", "meaning"),
        (
            (
                f"`{each.__name__}`",
                f"`{each.__bases__[-1].__name__}`",
                "yes" if each.permanent else "no",
                _meaning(each),
            )
            for each in classes
            if each.__module__ in modules
        ),
    )


def _meaning(error: type[EvoLinkError]) -> str:
    """Return an error's docstring, with its attributes as a list."""
    text, *attributes = re.split(r"\n:(?:param|ivar) ", inspect.getdoc(error) or "")
    listed = (re.sub(r"^(\w+): ", r"`\1`: ", _line(attribute)) for attribute in attributes)
    return "<br>".join([_line(text), *(f"· {each}" for each in listed)])


def _line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _command(name: str, command: Any) -> str:
    # Airflow's own arguments, such as --output, are added as its parser adds them.
    parser = argparse.ArgumentParser(prog=name, add_help=False)
    for each in command.args:
        each.add_to_parser(parser)
    parts = [f"## {name}", command.description or f"{command.help}.", _arguments(parser), command.epilog]
    return "\n\n".join(part for part in parts if part)


def _arguments(parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if action.dest != "help"]  # noqa: SLF001 - argparse has no other way
    return _table(("argument", "meaning"), ((_argument(each), _help(each)) for each in actions))


def _argument(action: argparse.Action) -> str:
    return ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`"


def _help(action: argparse.Action) -> str:
    text = _line((action.help or "") % {"default": action.default})
    names = _codes(map(str, action.choices or ()))
    return f"{text}: {names}" if names and "Allowed values" not in text else text
