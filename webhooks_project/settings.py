"""Every setting comes from the environment; a secret `X` may also be given as a file, `X_FILE`.

`HUB_ENV` is `production` (the default), `local` (what `make run` uses: plain HTTP on this machine)
or `test`. Production refuses to start without SECRET_KEY and WEBHOOKS_ENCRYPTION_KEYS.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import environ
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from webhooks_project.api import schema
from webhooks_project.databases import with_options
from webhooks_project.lib.keyring import Keyring, KeyringError
from webhooks_project.lib.ssrf import parse_networks, parse_proxy

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.FileAwareEnv()

HUB_ENV = env.str("HUB_ENV", default="production")
if HUB_ENV not in ("production", "local", "test"):
    raise ImproperlyConfigured("HUB_ENV is production, local or test")
PRODUCTION = HUB_ENV == "production"
HUB_NODE = env.str("HUB_NODE", default=socket.gethostname())  # this node's name to the others
VAR_DIR = Path(env.str("HUB_VAR_DIR", default=str(BASE_DIR / "var")))
if HUB_ENV == "local":
    environ.Env.read_env(VAR_DIR / "local.env")


def _secret(name: str, *, why: str) -> str:
    value = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"set {name} or {name}_FILE: {why}")
    return str(value)


SECRET_KEY = _secret("SECRET_KEY", why="it signs sessions and queued tasks")
try:
    ENCRYPTION_KEYRING = Keyring.parse(
        _secret("WEBHOOKS_ENCRYPTION_KEYS", why="it seals the secrets in the database")
    )
except KeyringError as error:
    raise ImproperlyConfigured(f"WEBHOOKS_ENCRYPTION_KEYS: {error}") from None

DEBUG = False
PUBLIC_URL = env.str("PUBLIC_URL", default="" if PRODUCTION else "http://127.0.0.1:8000").rstrip(
    "/"
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["127.0.0.1", "localhost"])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "webhooks_project",
    "webhooks_project.accounts",
    "subscriptions",
    "outgoing",
    "incoming",
    "monitoring",
    "analytics",
]

MIDDLEWARE = [
    "webhooks_project.middleware.close_unread",
    "webhooks_project.middleware.request_id",
    "incoming.receiving.door.door",
    "webhooks_project.middleware.take_chunks",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "webhooks_project.urls"
WSGI_APPLICATION = "webhooks_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- database -------------------------------------------------------------------------------------

DATABASES = {
    "default": with_options(
        env.db_url("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'hub.sqlite3'}"),
        synchronous=env.str("SQLITE_SYNCHRONOUS", default="FULL").upper(),
    )
}
# Statements that come again and again are parsed and planned once for a connection. False behind a
# pooler that gives a connection to another after each transaction and does not know of them.
WEBHOOKS_PREPARED_STATEMENTS = env.bool("WEBHOOKS_PREPARED_STATEMENTS", default=True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="")
REDIS_PREFIX = env.str("REDIS_PREFIX", default="hub")  # two hubs may share one server
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": REDIS_PREFIX,
    }
    if REDIS_URL
    # Of a host's processes one counts a window, and all know how far a look has come.
    else {
        "BACKEND": "webhooks_project.host_cache.HostCache",
        "LOCATION": str((VAR_DIR / "cache").absolute()),
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

# --- background work ------------------------------------------------------------------------------

FAMILIES = ("processing", "delivery", "retry", "monitoring", "analytics")
QM_WEBHOOKS = {
    family: env.bool(f"QM_WEBHOOKS_{family.upper()}", default=True) for family in FAMILIES
}
# A small node serves every family from one cluster; with false each has a cluster of its own.
WEBHOOKS_SHARED_CLUSTER = env.bool("WEBHOOKS_SHARED_CLUSTER", default=True)
# How long one long task drains its queue before the next one takes over.
WEBHOOKS_TURN_SECONDS = env.float("WEBHOOKS_TURN_SECONDS", default=60.0)
# Each is a process that keeps a core busy when there is much to deliver.
WEBHOOKS_DELIVERY_PUMPS = env.int("WEBHOOKS_DELIVERY_PUMPS", default=min(4, os.cpu_count() or 1))
WEBHOOKS_HANDLER_PUMPS = env.int("WEBHOOKS_HANDLER_PUMPS", default=1)
WEBHOOKS_DELIVERY_IN_FLIGHT = env.int("WEBHOOKS_DELIVERY_IN_FLIGHT", default=128)
# How many days rollups are kept by the minute and by the hour; days and months are for ever. Those
# of the hub and of accounts are few, and the days of other time zones are made of their hours.
WEBHOOKS_ROLLUP_MINUTES_DAYS = env.int("WEBHOOKS_ROLLUP_MINUTES_DAYS", default=7)
WEBHOOKS_ROLLUP_HOURS_DAYS = env.int("WEBHOOKS_ROLLUP_HOURS_DAYS", default=45)
WEBHOOKS_ROLLUP_ACCOUNT_HOURS_DAYS = env.int("WEBHOOKS_ROLLUP_ACCOUNT_HOURS_DAYS", default=400)

# How many days the files of reports are kept, in the database; and a TrueType font for their PDFs,
# where the one that is found does not know the letters of the names in them.
WEBHOOKS_REPORT_DAYS = env.int("WEBHOOKS_REPORT_DAYS", default=30)
WEBHOOKS_REPORT_FONT = env.str("WEBHOOKS_REPORT_FONT", default="")

Q_CLUSTER: dict[str, Any] = {
    "name": "webhooks-hub",
    # One long task for each pump and one worker to spare, so that a pump that hands over is
    # followed at once.
    "workers": sum(QM_WEBHOOKS.values()) + WEBHOOKS_DELIVERY_PUMPS + WEBHOOKS_HANDLER_PUMPS,
    "queue_limit": 1,
    "bulk": 1,
    "poll": 0.2,
    "guard_cycle": 0.5,  # a power of two: django-q2 compares a float that is counted down by it
    # A turn and the longest delivery or handler (60 s), and then some.
    "timeout": int(WEBHOOKS_TURN_SECONDS) + 120,
    # More than the timeout and the wait in the queue, or tasks run twice.
    "retry": int(WEBHOOKS_TURN_SECONDS) + 180,
    "save_limit": -1,
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "compress": False,
    "label": "Task queue",
}
Q_CLUSTER |= (
    {"redis": REDIS_URL, "broker_class": "webhooks_project.brokers.redis_broker"}
    if REDIS_URL
    else {"orm": "default", "broker_class": "webhooks_project.brokers.OrmBroker"}
)
Q_CLUSTER["ALT_CLUSTERS"] = {
    "hub": {},
    **{
        family: {
            "workers": {
                "processing": 1 + WEBHOOKS_HANDLER_PUMPS,
                "delivery": WEBHOOKS_DELIVERY_PUMPS,
            }.get(family, 1)
            + 1
        }
        for family in FAMILIES
    },
}

# --- monitoring -----------------------------------------------------------------------------------

# By how much the oldest work of a queue may be overdue, and how long a queue may give no sign of
# life, before nodes that serve it are not ready; for all families, or for one by its name.
_READY_AGE = env.float("WEBHOOKS_READY_AGE_SECONDS", default=300.0)
WEBHOOKS_READY_AGE_SECONDS = {
    family: env.float(f"WEBHOOKS_READY_AGE_SECONDS_{family.upper()}", default=_READY_AGE)
    for family in FAMILIES
}
# Pumps beat every second; the short tasks of the other families are run once a minute.
WEBHOOKS_READY_SILENT_SECONDS = {
    family: env.float(
        f"WEBHOOKS_READY_SILENT_SECONDS_{family.upper()}",
        default=200.0 if family in ("monitoring", "analytics") else 30.0,
    )
    for family in FAMILIES
}
WEBHOOKS_METRICS_TOKEN = env.str("WEBHOOKS_METRICS_TOKEN", default="").strip()
WEBHOOKS_METRICS_PUBLIC = env.bool("WEBHOOKS_METRICS_PUBLIC", default=False)
# How many accounts, the oldest, have series of their own.
WEBHOOKS_METRICS_ACCOUNTS = env.int("WEBHOOKS_METRICS_ACCOUNTS", default=0)
# The slug of the platform's own account, which is told where the hub's queues are not drained; else
# the oldest whose members are all superusers.
WEBHOOKS_PLATFORM_ACCOUNT = env.str("WEBHOOKS_PLATFORM_ACCOUNT", default="")

# --- incoming and outgoing ------------------------------------------------------------------------

WEB_PROCESSES = env.int("WEB_PROCESSES", default=1)
WEB_THREADS = env.int("WEB_THREADS", default=16)  # as many receipts can share a commit
TRUSTED_PROXIES = parse_networks(env.list("TRUSTED_PROXIES", default=[]))
WEBHOOKS_ALLOWED_NETWORKS = parse_networks(env.list("WEBHOOKS_ALLOWED_NETWORKS", default=[]))
WEBHOOKS_SCHEMES = frozenset(
    env.list("WEBHOOKS_SCHEMES", default=["https"] if PRODUCTION else ["https", "http"])
)
try:
    WEBHOOKS_EGRESS_PROXY = parse_proxy(env.str("WEBHOOKS_EGRESS_PROXY", default=""))
except ValueError as error:
    raise ImproperlyConfigured(f"WEBHOOKS_EGRESS_PROXY: {error}") from error
# By host of a chat or pager, such as hooks.slack.com: what is called in its place, in a network
# that reaches the outside by a relay alone.
WEBHOOKS_CHANNEL_RELAYS: dict[str, str] = env.dict("WEBHOOKS_CHANNEL_RELAYS", default={})
# The receiving view has its own limit, source by source; Django's must not be below it.
DATA_UPLOAD_MAX_MEMORY_SIZE = 25 * 1024 * 1024
RATELIMIT_USE_CACHE = "default"
RATELIMIT_FAIL_OPEN = True  # with the cache down, webhooks are still received
# What django-ratelimit's own checks say of a per-process cache, ours says with the consequence.
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.E003", "django_ratelimit.W001"]

# --- journal --------------------------------------------------------------------------------------

WEBHOOKS_ACTIVITY_DAYS = env.int("WEBHOOKS_ACTIVITY_DAYS", default=90)
WEBHOOKS_NOTIFICATION_DAYS = env.int("WEBHOOKS_NOTIFICATION_DAYS", default=90)
WEBHOOKS_INCIDENT_DAYS = env.int("WEBHOOKS_INCIDENT_DAYS", default=400)
# Who gets each account's audit anchor of the day by mail: addresses, and roles of the account.
WEBHOOKS_ANCHOR_RECIPIENTS = env.list("WEBHOOKS_ANCHOR_RECIPIENTS", default=[])

# --- mail -----------------------------------------------------------------------------------------

HAS_MAIL = bool(env.str("EMAIL_URL", default="")) or not PRODUCTION
# A hub on one's own machine writes its mails into files.
_mail = env.email_url(
    "EMAIL_URL",
    default=f"filemail:///{quote(str(VAR_DIR / 'mail'))}"
    if HUB_ENV == "local"
    else "smtp://localhost:25",
)
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_FILE_PATH = _mail["EMAIL_FILE_PATH"]
EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"], _mail["EMAIL_PORT"] or 25
EMAIL_HOST_USER = _mail["EMAIL_HOST_USER"] or ""
EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS = bool(_mail.get("EMAIL_USE_TLS"))
EMAIL_USE_SSL = bool(_mail.get("EMAIL_USE_SSL"))
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="webhooks@localhost")

# --- API ------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "webhooks_project.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["webhooks_project.api.permissions.HasRole"],
    "DEFAULT_RENDERER_CLASSES": ["webhooks_project.api.rendering.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["webhooks_project.api.rendering.OrjsonParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "webhooks_project.api.rendering.Negotiation",
    "DEFAULT_PAGINATION_CLASS": "webhooks_project.api.pagination.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["webhooks_project.api.filters.FilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "webhooks_project.api.errors.problem_response",
    "DATETIME_FORMAT": None,  # the renderer writes moments: ISO 8601 in UTC, with a Z
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Webhooks hub",
    "DESCRIPTION": "Receives webhooks, publishes events and delivers them, signed, at least once.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Without this the page shows the document's address to validator.swagger.io.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "SCHEMA_PATH_PREFIX": "/api/v1/webhooks",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "webhooks_project.api.schema.add_problem_responses",
    ],
    "ENUM_NAME_OVERRIDES": schema.ENUM_NAMES,
}

# --- console --------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Webhooks hub",
    "SITE_HEADER": "Webhooks hub",
    "SITE_URL": reverse_lazy("admin:index"),
    "SITE_SYMBOL": "webhook",
    "SITE_FAVICONS": [{"rel": "icon", "href": "data:,"}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "monitoring.admin.front_page.dashboard",
    "SIDEBAR": {
        "show_search": False,
        "navigation": "webhooks_project.admin.navigation.navigation_for",
    },
}

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
if not PRODUCTION:
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # whitenoise warns where there is none
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- transport security ---------------------------------------------------------------------------

SESSION_COOKIE_SECURE = PRODUCTION
CSRF_COOKIE_SECURE = PRODUCTION
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=PRODUCTION)
# Asked within the node's own network, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION
if env.bool("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []

# --- logs -----------------------------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING_CONFIG = "webhooks_project.logs.configure"
LOGGING = {"level": LOG_LEVEL, "file": env.str("LOG_FILE", default="")}
