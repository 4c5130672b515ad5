"""The hub's settings, and the bare view among its addresses."""

from webhooks_project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.bare"
