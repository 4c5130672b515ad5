"""What the pages of replays share, whatever is replayed."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.values import column, label, moment_column

STATUS_COLOURS: Final = {
    "planned": "info",
    "running": "primary",
    "finished": "success",
    "failed": "danger",
}
STARTABLE: Final = ("planned", "failed")


class JobAdmin(HistoryAdmin):
    """A replay's plan, its progress and its end. `done_count` names the column that counts."""

    done_count: ClassVar[str]

    has_history = True
    created = moment_column("Created", "created_at")
    finished = moment_column("Ended", "finished_at")
    search_fields = ("pk",)
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    @column("Status")
    def status_label(self, replay: Any) -> str:
        return label(replay.status, STATUS_COLOURS)

    @column("Progress")
    def progress(self, replay: Any) -> str:
        return f"{getattr(replay, self.done_count)} of {replay.planned_count}"
