"""The project's settings with keys of their own, for the tests and for the type checker."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("HUB_ENV", "test")
os.environ.setdefault("SECRET_KEY", "a-key-for-tests-only")
os.environ.setdefault("WEBHOOKS_ENCRYPTION_KEYS", "t1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
os.environ.setdefault("WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")
os.environ.setdefault("WEBHOOKS_DELIVERY_PUMPS", "1")  # whatever the number of cores
# No test cuts the power: a commit waits for no disk, here and in the hubs that tests start.
os.environ.setdefault("PGOPTIONS", "-c synchronous_commit=off")
if "HUB_VAR_DIR" not in os.environ:
    os.environ["HUB_VAR_DIR"] = tempfile.mkdtemp(prefix="hub-tests-")
    atexit.register(shutil.rmtree, os.environ["HUB_VAR_DIR"], ignore_errors=True)
# Test processes that run side by side inherit this from the one that started them.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ.setdefault("REDIS_PREFIX", f"hub-tests-{os.getpid()}")
if not os.environ["REDIS_PREFIX"].endswith(_WORKER):
    os.environ["REDIS_PREFIX"] += f"-{_WORKER}"

from webhooks_project.settings import *  # noqa: E402, F403

if not REDIS_URL:  # noqa: F405
    CACHES["default"]["LOCATION"] += f"-{os.getpid()}-{_WORKER}"  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_USE_FINDERS = False  # each test client would look for every file anew
