"""What the apps above learn from this one, which imports none of them.

A function call would be simpler, and would turn the direction of the imports around.
"""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

# Sent within the transaction of the change, with `subscription`.
status_changed: Final = Signal()
