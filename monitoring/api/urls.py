from django.urls import re_path

from monitoring.api.findings import FindingViewSet
from monitoring.api.journal import (
    ActivityViewSet,
    AuditAnchorViewSet,
    AuditEntryViewSet,
    AuditLogViewSet,
)
from monitoring.api.notifications import NotificationViewSet
from monitoring.api.queues import QueuesView
from webhooks_project.api.routing import Router

router = Router()
router.register("activities", ActivityViewSet, basename="activity")
router.register("audit/anchors", AuditAnchorViewSet, basename="audit-anchor")
router.register("audit", AuditEntryViewSet, basename="audit")
router.register("findings", FindingViewSet, basename="finding")
router.register("notifications", NotificationViewSet, basename="notification")
urlpatterns = [
    *router.urls,
    re_path(
        "^accounts/(?P<pk>[0-9a-f-]{36})/audit-log/?$",
        AuditLogViewSet.as_view({"get": "export"}),
        name="audit-log-export",
    ),
    re_path("^queues/?$", QueuesView.as_view(), name="queues"),
]
