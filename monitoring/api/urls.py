from django.urls import re_path

from monitoring.api.channels import ChannelViewSet
from monitoring.api.journal import ActivityViewSet, AuditEntryViewSet
from monitoring.api.notifications import NotificationViewSet
from monitoring.api.queues import QueuesView
from webhooks_project.api.routing import Router

router = Router()
router.register("activities", ActivityViewSet, basename="activity")
router.register("audit", AuditEntryViewSet, basename="audit")
router.register("channels", ChannelViewSet, basename="channel")
router.register("notifications", NotificationViewSet, basename="notification")
urlpatterns = [*router.urls, re_path("^queues/?$", QueuesView.as_view(), name="queues")]
