"""What event types a document describes: JSON Schema files, bundles of them, and OpenAPI.

Pure: no database and no network. A reference that leads out of its document is refused with the
type that has it. Read are:

- an OpenAPI document's `webhooks` (3.1) or `x-webhooks` (3.0): one type for each;
- a JSON Schema with `definitions` or `$defs` of events: those that its `oneOf` or `anyOf` lists,
  else those named so (`push$event`, `issues_event`), else those that no other refers to;
- a JSON Schema of one event, named by its file: `invoice.paid.json`;
- lines of examples: `{"event": "push", "payload": {…}}` in a `.jsonl` file.
"""

from subscriptions.documents.described import Described
from subscriptions.documents.files import MAX_DOCUMENT_BYTES, File
from subscriptions.documents.reading import read_files

__all__ = ["MAX_DOCUMENT_BYTES", "Described", "File", "read_files"]
