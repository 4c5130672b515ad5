from outgoing.api.attempts import AttemptViewSet
from outgoing.api.dead_letters import DeadLetterViewSet
from outgoing.api.deliveries import DeliveryViewSet
from outgoing.api.events import EventViewSet
from outgoing.api.replays import ReplayViewSet
from webhooks_project.api.routing import Router

router = Router()
router.register("events", EventViewSet, basename="event")
router.register("deliveries", DeliveryViewSet, basename="delivery")
router.register("dead-letters", DeadLetterViewSet, basename="dead-letter")
router.register("attempts", AttemptViewSet, basename="attempt")
router.register("replays", ReplayViewSet, basename="replay")
urlpatterns = router.urls
