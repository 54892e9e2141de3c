# SPDX-License-Identifier: Apache-2.0
"""Check an operator's arguments, and convert them into a model's parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.addresses import without_secrets
from airflow_provider_evolink.api.coercion import RENDERED_TEXT_HINT
from airflow_provider_evolink.api.errors import InvalidInputError
from airflow_provider_evolink.api.schema import listed
from airflow_provider_evolink.media.records import is_landed, is_record

_SINGLE_IMAGE = "a single image: a link, a data URL, base64, a path, a storage URI or the record of a generation"
_IMAGES, _START, _END = "image_urls", "image_start", "image_end"
_FIRST_AND_LAST = "FIRST&LAST"
_ARGUMENTS = {f"{_IMAGES}[0]": "image", f"{_IMAGES}[1]": "last_image", _START: "image", _END: "last_image"}
# More than any model makes at once.
_MOST_RESULTS = 100


def as_parameters(given: object) -> Mapping[str, Any]:
    """Return an operator's ``parameters``.

    :raises InvalidInputError: they are not a mapping.
    """
    if not isinstance(given, Mapping):
        hint = RENDERED_TEXT_HINT if isinstance(given, str) else ""
        raise InvalidInputError("parameters", given, f"a mapping of parameter names to values{hint}")
    return given


def image_parameters(
    model: object, image: object, last_image: object = None, *, videos_only: bool = True
) -> dict[str, Any]:
    """Return the parameters that hold the image a model starts from, and the one it ends with.

    :param model: EvoLink's model id.
    :param image: an image in any form, or a sequence that contains one, as a mapped task passes it.
    :param last_image: the same for the last frame; None if there is none.
    :param videos_only: reject models that are documented to make anything else.
    :return: ``image_urls``, or ``image_start`` and ``image_end`` for models that are documented to take those instead.
    :raises InvalidInputError: no image, more than one, or the model takes none.
    """
    first, last = _parameters_of_images(model, videos_only=videos_only)
    images = [_single("image", image)]
    if last_image is not None:
        if last is None:
            allowed = "left out: this model takes no last image"
            raise InvalidInputError("last_image", without_secrets(last_image), f"{allowed}; {_examples(last=True)} do")
        images.append(_single("last_image", last_image))
    if first != _IMAGES:
        return dict(zip((first, str(last)), images, strict=False))
    return {first: images, **(_mode_of(model) if len(images) == 2 else {})}


@contextmanager
def naming_images() -> Iterator[None]:
    """Name an image in an error as the argument that it was passed as."""
    try:
        yield
    except InvalidInputError as error:
        if error.parameter not in _ARGUMENTS:
            raise
        raise type(error)(_ARGUMENTS[error.parameter], error.value, error.allowed) from error.__cause__


@contextmanager
def naming_missing_image() -> Iterator[None]:
    """Name the image that a row lacks as the field that takes it in any form."""
    try:
        yield
    except InvalidInputError as error:
        if error.parameter not in (_IMAGES, _START) or error.value is not None:
            raise
        allowed = f"given, as {_SINGLE_IMAGE}; or `{error.parameter}` in the form that EvoLink documents"
        raise InvalidInputError("image", None, allowed) from None


def results_requested(parameters: Mapping[str, Any]) -> int:
    """Return how many results a request asks for: ``n`` where a model takes it (documented), otherwise one."""
    try:
        return min(max(int(parameters["n"]), 1), _MOST_RESULTS)
    except (KeyError, TypeError, ValueError, OverflowError):
        return 1


def _parameters_of_images(model: object, *, videos_only: bool) -> tuple[str, str | None]:
    """Return the names of the parameters that take a model's first and last image; None if it takes no last one."""
    known = catalog.find(model) if isinstance(model, str) else None
    if known is None:
        return _IMAGES, _IMAGES
    if videos_only and known.media_type != "video":
        allowed = f"a model that makes videos, such as {_examples()}; EvoLinkGenerateOperator runs the others"
        raise InvalidInputError("model", model, allowed)
    names = _names_of_images(known)
    if names is None:
        allowed = f"a model that starts from an image, such as {_examples()}: this one does not take any"
        raise InvalidInputError("model", model, allowed)
    return names


def _names_of_images(model: catalog.Model) -> tuple[str, str | None] | None:
    properties = model.schema["properties"]
    # Where a model has both, the list is for references.
    if _START in properties:
        return _START, _END if _END in properties else None
    if _IMAGES in properties:
        return _IMAGES, _IMAGES if _takes_last_image(model) else None
    return None


def _takes_last_image(model: catalog.Model) -> bool:
    """Return whether the second image of a list is the last frame: where two is the most, or a mode says so."""
    properties = model.schema["properties"]
    return bool(_mode_of(model.name)) or ("reference" not in model.name and properties[_IMAGES].get("maxItems") == 2)


def _mode_of(model: object) -> dict[str, str]:
    """Return the mode in which a model takes a list of images as the first and the last frame, if it has modes."""
    known = catalog.find(model) if isinstance(model, str) else None
    modes = known.schema["properties"].get("generation_type", {}).get("enum", ()) if known else ()
    return {"generation_type": _FIRST_AND_LAST} if _FIRST_AND_LAST in modes else {}


def _examples(*, last: bool = False) -> str:
    """Return some models that make videos from images, or from a first and a last one."""
    known = (catalog.find(name) for name in catalog.names() if name.endswith("image-to-video"))
    names = [model.name for model in known if model and (_names_of_images(model) or ("", None))[bool(last)]]
    return listed([repr(name) for name in names[:3]], "and")


def _single(argument: str, image: object) -> Any:
    if isinstance(image, Sequence) and not isinstance(image, str | bytes | bytearray):
        if len(image) != 1:
            raise InvalidInputError(argument, type(image), f"{_SINGLE_IMAGE}, not {len(image)}")
        image = image[0]
    if isinstance(image, str | PathLike) or hasattr(image, "open") or is_record(image) or is_landed(image):
        return image
    is_harmless = image is None or isinstance(image, int | float)
    raise InvalidInputError(argument, image if is_harmless else type(image), _SINGLE_IMAGE)
