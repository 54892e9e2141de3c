# SPDX-License-Identifier: Apache-2.0
"""Operator that makes a video from an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_evolink.execution.literals import check_literals, literal_errors
from airflow_provider_evolink.operators.generate import EvoLinkGenerateOperator
from airflow_provider_evolink.operators.landing_operator import EvoLinkLandingOperator

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath, XComArg

    from airflow_provider_evolink.api.request import GenerationRequest
    from airflow_provider_evolink.hooks.evolink import EvoLinkHook

    MediaValue = str | PathLike[str] | ObjectStoragePath | Mapping[str, Any]

_DEFAULT_MODEL = "gemini-omni-flash-image-to-video"
_DEFAULT_DURATION, _DEFAULT_ASPECT_RATIO = 10, "16:9"


class EvoLinkImageToVideoOperator(EvoLinkGenerateOperator):
    """Make a video from an image and a prompt, and return its record. One task instance pays once.

    By default with Gemini Omni Flash image-to-video, with sound; limits and defaults are those that EvoLink documents.
    All other arguments are those of :class:`EvoLinkGenerateOperator`.

    :param prompt: what happens in the video, in English or Chinese. There is no negative prompt: write "no dialogue"
        into it.
    :param image: the image that the video starts from: an http(s) URL that EvoLink can reach, a data URL, bare base64,
        a local path, any ObjectStoragePath or its URI, or the record of an earlier generation (``picture.output``).
    :param last_image: the image that the video ends with, in the same forms; only for models that take one.
    :param duration: in whole seconds, or ``auto`` where the model has it; by default that of the model: 10 for Gemini
        Omni Flash, which takes 3 to 10.
    :param aspect_ratio: such as ``16:9``, ``9:16`` or ``auto``; by default that of the model: 16:9 for Gemini Omni
        Flash.
    :param model: EvoLink's id of any model that makes a video from an image.
    """

    template_fields: Sequence[str] = (
        "prompt",
        "image",
        "last_image",
        "duration",
        "aspect_ratio",
        "model",
        "callback_url",
        "min_credits_left",
        *EvoLinkLandingOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        *,
        prompt: str | XComArg,
        image: MediaValue | XComArg,
        last_image: MediaValue | XComArg | None = None,
        duration: int | str | XComArg | None = None,
        aspect_ratio: str | XComArg | None = None,
        model: str | XComArg = _DEFAULT_MODEL,
        **kwargs: Any,
    ) -> None:
        with literal_errors(kwargs.get("task_id")):
            check_literals({"duration": duration})
        super().__init__(model=model, parameters={}, **kwargs)
        self.prompt = prompt
        self.image = image
        self.last_image = last_image
        self.duration = self._or_default(duration, _DEFAULT_DURATION)
        self.aspect_ratio = self._or_default(aspect_ratio, _DEFAULT_ASPECT_RATIO)

    def _parameters(self, hook: EvoLinkHook) -> Mapping[str, Any]:  # noqa: ARG002 - the base class has it
        return self._given_parameters()

    def _given_parameters(self) -> Mapping[str, Any]:
        from airflow_provider_evolink.operators.parameters import image_parameters

        return {
            "prompt": self.prompt,
            **image_parameters(self.model, self.image, self.last_image),
            "duration": self._or_default(self.duration, _DEFAULT_DURATION),
            "aspect_ratio": self._or_default(self.aspect_ratio, _DEFAULT_ASPECT_RATIO),
        }

    def _prompt(self) -> object:
        return self.prompt

    def _prepare(self, hook: EvoLinkHook, parameters: Mapping[str, Any]) -> GenerationRequest:
        from airflow_provider_evolink.operators.parameters import naming_images

        with naming_images():
            return super()._prepare(hook, parameters)

    def _or_default(self, value: Any, default: object) -> Any:
        """Return a value, or the default of the default model; others have their own, at EvoLink."""
        return default if value is None and self.model == _DEFAULT_MODEL else value
