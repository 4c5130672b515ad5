from django.urls import path

from incoming.receive import receive

urlpatterns = [path("<str:token>", receive, name="receive")]
