from django.urls import re_path

from monitoring.api.alert_rules import AlertRuleViewSet
from monitoring.api.health import HealthPolicyViewSet, HealthViewSet
from monitoring.api.incidents import IncidentViewSet, TimelineViewSet
from monitoring.api.journal import ActivityViewSet, AuditEntryViewSet
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
router.register("audit", AuditEntryViewSet, basename="audit")
router.register("notifications", NotificationViewSet, basename="notification")
urlpatterns = [*router.urls, re_path("^queues/?$", QueuesView.as_view(), name="queues")]
