# SPDX-License-Identifier: Apache-2.0
"""``@task.evolink``: a function that returns a model's parameters becomes a task that generates with them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec, Protocol, cast

from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.compat import DecoratedOperator, determine_kwargs, task_decorator_factory
from airflow_provider_evolink.execution.announcement import shortened_prompt
from airflow_provider_evolink.execution.literals import check_literals, literal_errors
from airflow_provider_evolink.execution.task_state import with_ledger_asset
from airflow_provider_evolink.lineage.datasets import Dataset
from airflow_provider_evolink.operators.evolink import EvoLinkGenerateOperator

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context, ObjectStoragePath, XComArg
    from airflow.sdk.bases.decorator import Task

    from airflow_provider_evolink.hooks.evolink import EvoLinkHook
    from airflow_provider_evolink.media.resolver import UploadPolicy
    from airflow_provider_evolink.types import GenerationRecord

P = ParamSpec("P")

_RETURNED = "returned"


class _Decorator(Protocol):
    """What ``evolink_task`` returns: it decorates a function that returns parameters, or a coroutine function."""

    def __call__(
        self, function: Callable[P, Mapping[str, Any] | Awaitable[Mapping[str, Any]]], /
    ) -> Task[P, GenerationRecord]: ...


class _EvoLinkDecoratedOperator(DecoratedOperator, EvoLinkGenerateOperator):
    """The operator behind ``@task.evolink``: calls the function for the parameters, then does what its base does.

    The function is called once for each decision about a submission: at the start of every try, and not again when the
    task resumes after a deferral. So a retry that resumes what an earlier try has paid for compares what the function
    returns now with the recorded request, and with ``on_changed_input="fail"`` refuses a difference: a function that
    returns something else each time it is called needs ``on_changed_input="resubmit"``, and pays for that.

    :param python_callable: the function, or coroutine function; its arguments are templated.
    :param op_args: positional arguments of the call.
    :param op_kwargs: keyword arguments of the call.
    """

    custom_operator_name = "@task.evolink"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in EvoLinkGenerateOperator.template_fields if name != "parameters"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {**DecoratedOperator.template_fields_renderers}

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, parameters={}, **kwargs)
        self._context: Context | None = None
        self._returned: Mapping[str, Any] = {}
        self._kept_inputs: list[Dataset] = []

    @property
    def is_async(self) -> bool:
        """Whether Airflow has to run it in an event loop, which it need not even if the function is a coroutine."""
        return False

    def execute(self, context: Context) -> GenerationRecord:
        """Call the function for the parameters, and submit or resume the generation."""
        self._context = context
        record: GenerationRecord = super().execute(context)
        return record

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume with what events say about the returned parameters, since the function is not called again."""
        kwargs = dict(next_kwargs or {})
        kept = kwargs.pop(_RETURNED, None) or {}
        self._returned = {"prompt": kept.get("prompt")}
        self._kept_inputs = [Dataset(*each) for each in kept.get("inputs", ())]
        return super().resume_execution(next_method, kwargs, context)

    def _kept(self) -> dict[str, Any]:
        inputs = [list(dataset) for dataset in self._known_inputs()]
        return {_RETURNED: {"prompt": shortened_prompt(self._returned.get("prompt")), "inputs": inputs}}

    def _inputs(self) -> Iterable[Dataset]:
        return self._kept_inputs or super()._inputs()

    def _parameters(self, hook: EvoLinkHook) -> Mapping[str, Any]:  # noqa: ARG002
        returned = self._call()
        if not isinstance(returned, Mapping):
            allowed = "a mapping of the model's parameters, such as {'prompt': 'A lighthouse'}: the function returns it"
            raise InvalidInputError(f"{self.python_callable.__name__}()", returned, allowed)
        self._returned, self._kept_inputs = returned, []
        return returned

    def _given_parameters(self) -> Mapping[str, Any]:
        return self._returned

    def _call(self) -> object:
        given = {**(self._context or {}), **self.op_kwargs}
        arguments = determine_kwargs(self.python_callable, self.op_args, given)
        returned = self.python_callable(*self.op_args, **arguments)
        return _awaited(returned) if inspect.isawaitable(returned) else returned


def _awaited(returned: Awaitable[object]) -> object:
    from airflow_provider_evolink.api.client import run

    async def wait() -> object:
        return await returned

    return run(wait)


class _EvoLinkTask(Protocol):
    """The arguments of ``@task.evolink``: what is left out has the operator's default, or that of ``default_args``."""

    def __call__(
        self,
        *,
        model: str | XComArg,
        destination: str | ObjectStoragePath | XComArg | None = ...,
        filename_pattern: str = ...,
        on_existing: Literal["fail", "replace", "skip"] = ...,
        asset_name: str | None = ...,
        media_type: Literal["video", "image", "audio"] | None = ...,
        callback_url: str | XComArg | None = ...,
        upload: UploadPolicy = ...,
        wait_for_completion: bool = ...,
        on_unknown_submission: Literal["replay", "fail"] = ...,
        on_clear: Literal["reuse", "resubmit"] = ...,
        on_changed_input: Literal["fail", "resubmit"] = ...,
        min_credits_left: float | str | None = ...,
        evolink_conn_id: str = ...,
        deferrable: bool = ...,
        timeout: float | timedelta | None = ...,
        poll_interval: float | None = ...,
        **kwargs: Any,
    ) -> _Decorator: ...


def _evolink_task(python_callable: Callable[..., Any] | None = None, *, model: Any, **kwargs: Any) -> _Decorator:
    """Turn a function that returns a model's parameters into a task that generates with them; ``@task.evolink``.

    :param model: EvoLink's model id.
    :param kwargs: the other arguments of ``EvoLinkGenerateOperator``, except ``parameters``: they are what the function
        returns.
    :return: a decorator. The task that it makes works like that of any other: call it, ``expand`` or ``override`` it;
        its output is the record.
    """
    with literal_errors(kwargs.get("task_id")):
        check_literals({"model": model, **kwargs}, required=("model",))
    # A mapped task has to refer to the asset when the DAG is parsed, before there is an operator.
    kwargs["inlets"] = with_ledger_asset(kwargs.get("inlets"))
    decorator = task_decorator_factory(
        python_callable,
        multiple_outputs=False,  # the record stays whole, whatever return type the function declares
        decorated_operator_class=_EvoLinkDecoratedOperator,
        model=model,
        **kwargs,
    )
    return cast("_Decorator", decorator)


evolink_task: _EvoLinkTask = _evolink_task
