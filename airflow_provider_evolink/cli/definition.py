# SPDX-License-Identifier: Apache-2.0
"""Define the commands ``airflow evolink ...``; every ``airflow`` command imports this, so what they do is elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from airflow.cli.cli_config import (
    ARG_OUTPUT,
    ARG_VERBOSE,
    ARG_YES,
    ActionCommand,
    Arg,
    CLICommand,
    GroupCommand,
    lazy_load_command,
)

# Airflow's class has no types.
_arg: Callable[..., Arg] = Arg
_PACKAGE = "airflow_provider_evolink.cli"
_CONN_ID = _arg(
    ("--conn-id",), help="Connection of the account (default: evolink_default)", default="evolink_default", metavar="ID"
)

_MODELS = ActionCommand(
    name="models",
    help="List the models that EvoLink documents, or the parameters of one",
    description="List the models that EvoLink documents, or the parameters of one with what they allow. Sends nothing.",
    func=lazy_load_command(f"{_PACKAGE}.models.models"),
    args=(
        _arg(("model",), help="A model's id or an older name; all models by default", nargs="?", metavar="NAME"),
        _arg(("--media",), help="Only models that make this", choices=("video", "image", "audio")),
        ARG_OUTPUT,
        ARG_VERBOSE,
    ),
)
_CREDITS = ActionCommand(
    name="credits",
    help="Show how many credits are left; free",
    description="Show how many credits are left; free. In JSON and YAML, an unlimited API key has null.",
    func=lazy_load_command(f"{_PACKAGE}.credits.credits_left"),
    args=(_CONN_ID, ARG_OUTPUT, ARG_VERBOSE),
)
_COLLECT = ActionCommand(
    name="collect",
    help="Land finished generations, whoever submitted them; free",
    description="Land finished generations, whoever submitted them; free. What is there already is compared and kept.",
    epilog="Exit codes: 0 all have landed, 1 something failed, 2 usage, 3 some have not finished yet.",
    func=lazy_load_command(f"{_PACKAGE}.collect.collect"),
    args=(
        _arg(("generation_id",), help="Ids of generations", nargs="+", metavar="GENERATION_ID"),
        _arg(
            ("--to",), help="Folder: a path, or a URI such as s3://conn_id@bucket/videos", required=True, metavar="URI"
        ),
        _arg(
            ("--filename-pattern",),
            help="Names of the files (default: {generation_id}/{index}.{ext})",
            default="{generation_id}/{index}.{ext}",
            metavar="PATTERN",
        ),
        _arg(
            ("--on-existing",),
            help="What to do if another file has the name (default: fail)",
            choices=("fail", "replace"),
            default="fail",
        ),
        _CONN_ID,
        ARG_OUTPUT,
        ARG_VERBOSE,
    ),
)
_FORGET = ActionCommand(
    name="forget",
    help="Show what a task remembers to have paid for, and remove it after asking",
    description=(
        "Show what a task remembers to have paid for (its ledger, and the copy of it), with what it has cost, and "
        "remove it after asking. The task's next try or clear then pays for new generations. Files stay, and so do "
        "the generations at EvoLink: `airflow evolink collect` lands them."
    ),
    epilog="Exit codes: 0 removed, 1 nothing found or something failed, 2 usage, 3 not confirmed.",
    func=lazy_load_command(f"{_PACKAGE}.forget.forget"),
    args=(
        _arg(("dag_id",), help="Id of the DAG", metavar="DAG_ID"),
        _arg(("task_id",), help="Id of the task", metavar="TASK_ID"),
        _arg(("--run-id",), help="Id of the run; needed if several runs have records", metavar="ID"),
        _arg(("--map-index",), help="Only this instance of a mapped task (default: all)", type=int, metavar="INDEX"),
        ARG_YES,
        ARG_OUTPUT,
        ARG_VERBOSE,
    ),
)


def get_evolink_cli_commands() -> list[CLICommand]:
    """Return the commands, for Airflow's parser."""
    return [
        GroupCommand(
            name="evolink",
            help="Look up models, credits and payments of EvoLink, and land generations",
            subcommands=(_COLLECT, _CREDITS, _FORGET, _MODELS),
        )
    ]
