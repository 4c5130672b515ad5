"""What an event may have beside its type and its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from subscriptions.acceptable import is_channel
from webhooks_project.acceptable import Problem, headers, listed, texts_by_name

MAX_CHANNELS: Final = 10
MAX_METADATA: Final = 50
MAX_HEADERS: Final = 20
MAX_HEADER_LENGTH: Final = 1_024  # characters of a value


def event_problems(
    channels: Sequence[str], metadata: Mapping[str, str], extra_headers: Mapping[str, str]
) -> list[Problem]:
    """What is wrong with an event's channels, metadata and headers: the first of each."""
    if not (channels or metadata or extra_headers):
        return []
    found = {
        "channels": listed(_plain(channels), MAX_CHANNELS, _channel),
        "metadata": texts_by_name(
            _plain(metadata), limit=MAX_METADATA, name_length=64, text_length=500
        ),
        "headers": headers(_plain(extra_headers), limit=MAX_HEADERS, length=MAX_HEADER_LENGTH),
    }
    first = {name: next(problems, None) for name, problems in found.items()}
    return [replace(problem, field=name) for name, problem in first.items() if problem]


def _plain(value: object) -> object:
    """Any mapping as a dict, and any sequence but a text, which is one too, as a list."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    return value


def _channel(text: str) -> Problem | None:
    if is_channel(text):
        return None
    return Problem("invalid_channel", f"{text[:64]!r} is no channel: letters, digits and _.:/-")
