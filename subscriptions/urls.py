from django.urls import path

from subscriptions.keys import key_set_of

urlpatterns = [
    path("keys/<uuid:subscription_id>/jwks.json", key_set_of, name="subscription-keys"),
]
