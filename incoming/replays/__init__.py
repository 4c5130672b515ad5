"""Replay: past receipts processed again, as a job with a plan, a progress and an end.

A job only puts receipts back in line; the processing pump does the rest, as with any receipt. They
are taken by the verdict that they got on arrival: nothing is verified anew.
"""

from incoming.replays.candidates import REPLAYABLE, Selection, receipts_to_replay
from incoming.replays.carrying import NOT_ENDED, advance_replays
from incoming.replays.jobs import cancel_replay, replay_receipt, start_replay
from incoming.replays.planning import plan_of, plan_replay

__all__ = [
    "NOT_ENDED",
    "REPLAYABLE",
    "Selection",
    "advance_replays",
    "cancel_replay",
    "plan_of",
    "plan_replay",
    "receipts_to_replay",
    "replay_receipt",
    "start_replay",
]
