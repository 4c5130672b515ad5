"""The project's settings with keys of their own, for the tests and for the type checker."""

import os
import tempfile

os.environ.setdefault("HUB_ENV", "test")
os.environ.setdefault("SECRET_KEY", "a-key-for-tests-only")
os.environ.setdefault("WEBHOOKS_ENCRYPTION_KEYS", "t1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
os.environ.setdefault("WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")
os.environ.setdefault("HUB_VAR_DIR", tempfile.mkdtemp(prefix="hub-tests-"))
os.environ.setdefault("REDIS_PREFIX", f"hub-tests-{os.getpid()}")

from webhooks_project.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
