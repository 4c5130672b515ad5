"""What follows a receipt: found out here, written down by `incoming/processing/`.

Pure: nothing is read from the database, and nothing is written.
"""

from incoming.routing.actions import Action, Handle, Notify, Publish, Update
from incoming.routing.answers import TRANSFORMED_TO_NOTHING, Failed, Following, cause_of, failed_by
from incoming.routing.following import payload_of, what_follows, what_follows_each
from incoming.routing.subjects import Subject

__all__ = [
    "TRANSFORMED_TO_NOTHING",
    "Action",
    "Failed",
    "Following",
    "Handle",
    "Notify",
    "Publish",
    "Subject",
    "Update",
    "cause_of",
    "failed_by",
    "payload_of",
    "what_follows",
    "what_follows_each",
]
