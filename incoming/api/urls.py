from incoming.api.dead_letters import DeadReceiptViewSet
from incoming.api.replays import ReceiptReplayViewSet
from incoming.api.routes import RouteViewSet
from incoming.api.views import (
    ReceiptViewSet,
    RefusalCountViewSet,
    RunViewSet,
    SourceViewSet,
)
from webhooks_project.api.routing import Router

router = Router()
router.register("sources", SourceViewSet, basename="source")
router.register("sources/(?P<source_id>[^/.]+)/routes", RouteViewSet, basename="route")
router.register("receipts", ReceiptViewSet, basename="receipt")
router.register("dead-letters", DeadReceiptViewSet, basename="dead-receipt")
router.register("runs", RunViewSet, basename="run")
router.register("replays", ReceiptReplayViewSet, basename="receipt-replay")
router.register("refusals", RefusalCountViewSet, basename="refusal")
urlpatterns = router.urls
