"""Replay: past events carried again, as a job with a plan, a progress and an end.

A job only puts deliveries in line, behind first attempts; the delivery pumps carry them. The retry
family's pump moves the jobs on, so one that was cut off goes on by itself.
"""

from outgoing.replays.candidates import ENDED, deliveries_to_replay
from outgoing.replays.carrying import Pace, advance_replays
from outgoing.replays.jobs import cancel_replay, pause_replay, resume_replay, start_replay
from outgoing.replays.pacing import live_limit
from outgoing.replays.planning import plan_of, plan_replay

__all__ = [
    "ENDED",
    "Pace",
    "advance_replays",
    "cancel_replay",
    "deliveries_to_replay",
    "live_limit",
    "pause_replay",
    "plan_of",
    "plan_replay",
    "resume_replay",
    "start_replay",
]
