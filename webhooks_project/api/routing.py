"""Routers whose URLs take a closing slash or none: a redirect would lose a POST's body."""

from rest_framework.routers import SimpleRouter


class Router(SimpleRouter):
    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"
