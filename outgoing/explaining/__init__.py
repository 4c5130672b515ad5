"""What became of an event, and of a delivery: every step that is known, in order; reads only."""

from outgoing.explaining.events import Considered, Explanation, explain_event
from outgoing.explaining.steps import Step, shown
from outgoing.explaining.timelines import timeline_of

__all__ = ["Considered", "Explanation", "Step", "explain_event", "shown", "timeline_of"]
