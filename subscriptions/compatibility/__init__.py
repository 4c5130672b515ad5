"""Which changes of a schema break those who read the data, or those who write it.

Readers are the subscribers: they break where data may come that could not come before, or where
something that they read is gone. Writers are those who publish: they break where data is refused
that was taken before. A writer's break is a reader's too, sooner or later, since the data must
change; so both are listed, and both ask for a new major version.

What is added beside the old breaks nobody: an optional property, a description, an example.
Readers are asked to take no offence at a property that they do not know.

Pure: no database. Local references are followed; schemas are taken as draft 2020-12.
"""

from subscriptions.compatibility.changes import READERS, WRITERS, Change, Kind
from subscriptions.compatibility.comparison import MAX_CHANGES, MAX_DEPTH, breaking_changes

__all__ = [
    "MAX_CHANGES",
    "MAX_DEPTH",
    "READERS",
    "WRITERS",
    "Change",
    "Kind",
    "breaking_changes",
]
