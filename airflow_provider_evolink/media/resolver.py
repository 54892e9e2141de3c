# SPDX-License-Identifier: Apache-2.0
"""Turn the media among a model's parameters into what the model takes: links, data, or links that are not known yet."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any, BinaryIO, Literal

from airflow_provider_evolink.api import catalog
from airflow_provider_evolink.api.addresses import check_public_url, without_secrets
from airflow_provider_evolink.api.errors import InvalidInputError, UnreadableInputError
from airflow_provider_evolink.api.media import (
    MAX_IMAGE_BYTES,
    as_data_url,
    check_image_size,
    image_reference,
    sniff_image,
)
from airflow_provider_evolink.api.media_rules import MediaRule
from airflow_provider_evolink.api.pending_media import PendingMedia
from airflow_provider_evolink.media.checks import check_kind, check_measures, check_total
from airflow_provider_evolink.media.facts import MediaFacts, examine, measure
from airflow_provider_evolink.media.files import MediaFile, sha256_of, size_of
from airflow_provider_evolink.media.parameters import replaced, rules_for
from airflow_provider_evolink.media.records import Result, is_landed, is_record, location_of, results_of
from airflow_provider_evolink.media.texts import Form, data_of, form_of, is_location

log = logging.getLogger(__name__)

UploadPolicy = Literal["auto", "always", "never"]
OpenFile = Callable[[str], MediaFile]
# What is known about files, by their version; a batch has one picture in many rows.
KnownFiles = MutableMapping[str, tuple[MediaFacts, str]]

_MAX_KNOWN_FILES = 10_000
# Enough to recognize an image.
_HEADER_BYTES = 64
_FORMS = "a link, a path, a storage URI, a data URL, base64 or the record of a generation"


class MediaResolver:
    """Resolves the media of requests.

    :param open_file: finds the file behind a path or a storage URI.
    :param upload: ``auto`` uploads what the model does not take itself; ``always`` everything but links; ``never``
        nothing, so that a file is refused where the model takes links only.
    :param allow_loopback: accept links to this machine, which an API on this machine can follow.
    :param known_files: shared by the requests of a batch, so that a file is read once.
    """

    def __init__(
        self,
        open_file: OpenFile,
        *,
        upload: UploadPolicy = "auto",
        allow_loopback: bool = False,
        known_files: KnownFiles | None = None,
    ) -> None:
        self._open_file = open_file
        self._upload = upload
        self._allow_loopback = allow_loopback
        self._known_files = {} if known_files is None else known_files

    def __call__(self, model: str, parameters: dict[str, Any]) -> tuple[dict[str, Any], tuple[PendingMedia, ...]]:
        """Return the parameters as the model takes them, and the media whose links are not known yet.

        Text that is no media parameter is never looked at. A file is read in pieces, once for its hash.

        :param parameters: plain values; those of media parameters may also be paths.
        :raises InvalidInputError: a value is no media, or none that the model is documented to take.
        :raises UnreadableInputError: a file can't be read, or a link has died.
        :raises ConnectionError, TimeoutError: a storage is unreachable. A retry may succeed.
        """
        if self._upload == "never" and catalog.find(model) is None:
            return parameters, ()  # what it takes itself is not known
        request = _Request(self)
        for path, rule in rules_for(model).items():
            parameters = replaced(parameters, path, partial(request.resolve, rule))
        return parameters, tuple(request.pending)

    def reference(self, text: str, rule: MediaRule, parameter: str) -> str:
        """Return what is sent of a text for a parameter that takes images themselves."""
        loopback = self._allow_loopback
        read = partial(self._read, parameter)
        reference = image_reference(text, read, parameter=parameter, allow_loopback=loopback)
        return reference if "base64" in rule.forms else as_data_url(reference)

    def link(self, text: str, rule: MediaRule, parameter: str) -> str:
        """Return a link that EvoLink can follow, unchanged."""
        longest = rule.max_url_characters
        schemes = ("http", "https")
        check_public_url(
            text, parameter=parameter, schemes=schemes, max_length=longest, allow_loopback=self._allow_loopback
        )
        return text

    def pending_file(self, location: str, rule: MediaRule, parameter: str) -> tuple[PendingMedia, MediaFacts]:
        """Return a file that gets a link, and what is known about it."""
        try:
            file = self._open_file(location)
            facts, sha256 = self._facts(file, rule, parameter)
        except (ConnectionError, TimeoutError):
            raise
        except (OSError, ValueError, ImportError) as error:
            raise self._unreadable(location, rule, parameter, error) from None
        check_measures(facts, rule, parameter, file.source)
        pending = _pending(f"sha256:{sha256}", parameter, file.source, facts)
        # The upload compares the content with the hash.
        return replace(pending, open=file.open), facts

    def pending_data(self, text: str, rule: MediaRule, parameter: str) -> tuple[PendingMedia, MediaFacts]:
        """Return data that gets a link, and what is known about it."""
        data = data_of(text)
        if data is None:
            damaged = "this is not a path, and as base64 it is truncated or damaged"
            raise InvalidInputError(parameter, text, f"{rule.noun}; {damaged}")
        file = io.BytesIO(data)
        facts = examine(file)
        check_kind(facts, rule, parameter, text)
        facts = measure(file, facts)
        check_measures(facts, rule, parameter, text)
        pending = _pending(f"sha256:{hashlib.sha256(data).hexdigest()}", parameter, f"data.{facts.format}", facts)
        # The text is there anyway: decoded again, so that many rows don't hold their data twice.
        return replace(pending, open=lambda: io.BytesIO(data_of(text) or b"")), facts

    def refuse_upload(self, value: object, rule: MediaRule, parameter: str) -> None:
        """Refuse what would have to be uploaded, if that is not wanted."""
        if self._upload == "never":
            allowed = f"{rule.noun} as a public http or https URL: this model takes links only, and upload='never'"
            hint = "upload it with EvoLinkHook.upload and pass the link, or set upload='auto'"
            raise InvalidInputError(parameter, without_secrets(value), f"{allowed}; {hint}")

    @property
    def sends_data(self) -> bool:
        """Whether a model gets data where it takes them."""
        return self._upload != "always"

    def opener(self, location: str) -> Callable[[], BinaryIO]:
        """Return what opens a file later on."""
        return lambda: self._open_file(location).open()

    def _facts(self, file: MediaFile, rule: MediaRule, parameter: str) -> tuple[MediaFacts, str]:
        """Return the facts about a file and its hash, measured where the rule asks for it."""
        version = file.version()
        known = self._known_files.get(version)
        if known is None:
            known = self._examined(file, rule, parameter)
            if len(self._known_files) < _MAX_KNOWN_FILES:
                self._known_files[version] = known
        check_kind(known[0], rule, parameter, file.source)
        return known

    def _examined(self, file: MediaFile, rule: MediaRule, parameter: str) -> tuple[MediaFacts, str]:
        with file.open() as content:
            facts = examine(content)
            # A file of the wrong kind is refused before all of it is read.
            check_kind(facts, rule, parameter, file.source)
            return measure(content, facts), sha256_of(content)

    def _read(self, parameter: str, location: str) -> bytes:
        with self._open_file(location).open() as content:
            size = size_of(content)
            content.seek(0)
            if sniff_image(content.read(_HEADER_BYTES)) is not None:
                check_image_size(size, location, parameter)
            content.seek(0)
            return content.read(MAX_IMAGE_BYTES + 1)

    def _unreadable(self, location: str, rule: MediaRule, parameter: str, error: Exception) -> Exception:
        hint = _RENDERED_RECORD if location.startswith("{") and "generation_id" in location else ""
        allowed = f"{rule.noun}; as a path it can't be read ({type(error).__name__}: {error}){hint}"
        return UnreadableInputError(parameter, without_secrets(location), allowed)


_RENDERED_RECORD = "; this is the text of a record: pass it as task.output, or set render_template_as_native_obj=True"


class _Request:
    """Resolves the media of one request.

    :ivar pending: the media whose links are not known yet.
    """

    def __init__(self, resolver: MediaResolver) -> None:
        self._resolver = resolver
        self.pending: list[PendingMedia] = []
        self._now = time.time()

    def resolve(self, rule: MediaRule, value: Any, parameter: str) -> Any:
        """Return what stands for a parameter's value in the request."""
        if not rule.is_list:
            return self._item(value, rule, parameter)[0]
        if is_record(value):
            results = results_of(value, rule, parameter, self._now)
            return [self._result(result, rule, f"{parameter}[{i}]") for i, result in enumerate(results)]
        if isinstance(value, PathLike) or is_landed(value):
            value = [value]
        if not isinstance(value, list):
            return value
        seconds: list[float] = []
        resolved = []
        for index, item in enumerate(value):
            reference, lasts = self._item(item, rule, f"{parameter}[{index}]")
            resolved.append(reference)
            seconds += [lasts] if lasts else []
        check_total(seconds, rule, parameter)
        return resolved

    def _item(self, value: Any, rule: MediaRule, parameter: str) -> tuple[Any, float | None]:
        """Return what stands for one media value, and how long it lasts, if that is known."""
        if is_record(value):
            first, *others = results_of(value, rule, parameter, self._now)
            if others:
                log.info("`%s` takes the first of the %d results of %s.", parameter, len(others) + 1, first.identity)
            return self._result(first, rule, parameter), None
        if is_landed(value):
            return self._file(location_of(value), rule, parameter)
        if isinstance(value, PathLike) or hasattr(value, "open"):
            return self._file(str(value), rule, parameter)
        if not isinstance(value, str) or not value.strip():
            given = value if value is None or isinstance(value, str | int | float) else type(value)
            raise InvalidInputError(parameter, given, f"{rule.noun}: {_FORMS}")
        return self._text(value.strip(), rule, parameter)

    def _text(self, text: str, rule: MediaRule, parameter: str) -> tuple[str, float | None]:
        form = form_of(text)
        if form is Form.LINK:
            return self._resolver.link(text, rule, parameter), None
        if rule.takes_data and self._resolver.sends_data:
            return self._resolver.reference(text, rule, parameter), None
        if form is Form.LOCATION:
            is_name = "voice_id" in rule.forms and not is_location(text)
            return (text, None) if is_name else self._file(text, rule, parameter)
        self._resolver.refuse_upload(text, rule, parameter)
        return self._add(*self._resolver.pending_data(text, rule, parameter))

    def _file(self, location: str, rule: MediaRule, parameter: str) -> tuple[str, float | None]:
        if rule.takes_data and self._resolver.sends_data:
            return self._resolver.reference(location, rule, parameter), None
        self._resolver.refuse_upload(location, rule, parameter)
        return self._add(*self._resolver.pending_file(location, rule, parameter))

    def _result(self, result: Result, rule: MediaRule, parameter: str) -> str:
        has_link = rule.takes_result_links and result.lives(self._now)
        if not has_link:
            self._resolver.refuse_upload(result.identity, rule, parameter)
        landed = result.landed or {}
        pending = PendingMedia(
            identity=result.identity,
            parameter=parameter,
            source=landed.get("uri") or f"result {result.index} of generation {result.generation_id}",
            content_type=landed.get("content_type"),
            size=landed.get("bytes"),
            link=self._resolver.link(result.link, rule, parameter) if has_link else None,
            link_expires_at=result.link_expires_at if has_link else None,
            landed_sha256=landed.get("sha256"),
            open=self._resolver.opener(location_of(landed)) if landed else None,
        )
        self.pending.append(pending)
        return pending.placeholder

    def _add(self, pending: PendingMedia, facts: MediaFacts) -> tuple[str, float | None]:
        self.pending.append(pending)
        return pending.placeholder, facts.seconds


def _pending(identity: str, parameter: str, source: str, facts: MediaFacts) -> PendingMedia:
    return PendingMedia(identity, parameter, source, content_type=facts.content_type, size=facts.size)
