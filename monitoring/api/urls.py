from django.urls import re_path

from monitoring.api.alert_rules import AlertRuleViewSet
from monitoring.api.channels import ChannelViewSet
from monitoring.api.findings import FindingViewSet
from monitoring.api.health import HealthPolicyViewSet, HealthViewSet
from monitoring.api.incidents import IncidentViewSet, TimelineViewSet
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
router.register("health", HealthViewSet, basename="health")
router.register("health-policies", HealthPolicyViewSet, basename="health-policy")
router.register("alert-rules", AlertRuleViewSet, basename="alert-rule")
router.register("incidents", IncidentViewSet, basename="incident")
router.register("incidents/(?P<incident_id>[^/.]+)/timeline", TimelineViewSet, basename="timeline")
router.register("activities", ActivityViewSet, basename="activity")
router.register("audit/anchors", AuditAnchorViewSet, basename="audit-anchor")
router.register("audit", AuditEntryViewSet, basename="audit")
router.register("findings", FindingViewSet, basename="finding")
router.register("channels", ChannelViewSet, basename="channel")
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
