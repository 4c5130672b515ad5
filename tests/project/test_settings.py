"""Everything from the environment; production fails loudly where a secret is not set."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured

from webhooks_project.host_cache import HostCache

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "c1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ENVIRONMENT = {
    "HUB_ENV": "production",
    "SECRET_KEY": "a-secret-key",
    "WEBHOOKS_ENCRYPTION_KEYS": KEY,
}


@pytest.fixture(autouse=True)
def _nothing_else_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("HUB_", "WEB", "QM_", "SECRET_KEY", "DATABASE_", "REDIS_", "PUBLIC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HUB_VAR_DIR", str(tmp_path))
    environ.FileAwareEnv.ENVIRON.files_cache.clear()


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    """The settings under this environment, beside what production must have."""
    for name, value in {**ENVIRONMENT, **environment}.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "webhooks_project" / "settings.py"))


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        read(monkeypatch, **environment)
    return str(caught.value)


@pytest.mark.parametrize("name", ["SECRET_KEY", "WEBHOOKS_ENCRYPTION_KEYS"])
def test_a_production_node_does_not_start_without_its_secrets(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, **ENVIRONMENT}
    del environment[name]
    result = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env={**environment, "DJANGO_SETTINGS_MODULE": "webhooks_project.settings"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert f"set {name} or {name}_FILE" in result.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "WEBHOOKS_ENCRYPTION_KEYS"])
@pytest.mark.parametrize("hub_env", ["production", "test", "local"])
def test_an_empty_secret_is_none(monkeypatch: pytest.MonkeyPatch, name: str, hub_env: str) -> None:
    said = refusal(monkeypatch, **{name: "", "HUB_ENV": hub_env})
    assert said.startswith(f"set {name} or {name}_FILE: ")


def test_production_is_what_it_is_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "HUB_ENV", "production")
    values = read(monkeypatch)
    assert values["PRODUCTION"] is True
    assert values["DEBUG"] is False
    assert values["ALLOWED_HOSTS"] == []
    assert values["WEBHOOKS_SCHEMES"] == {"https"}
    assert values["WEBHOOKS_ALLOWED_NETWORKS"] == ()
    for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT"):
        assert values[name] is True
    assert values["SECURE_HSTS_SECONDS"] > 0
    assert "SECURE_PROXY_SSL_HEADER" not in values


def test_a_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("SECRET_KEY", "from-a-file"), ("WEBHOOKS_ENCRYPTION_KEYS", KEY)):
        (tmp_path / name).write_text(value)
        monkeypatch.setitem(ENVIRONMENT, f"{name}_FILE", str(tmp_path / name))
        monkeypatch.delitem(ENVIRONMENT, name)
    values = read(monkeypatch)
    assert values["SECRET_KEY"] == "from-a-file"
    assert values["ENCRYPTION_KEYRING"].current == "c1"


def test_a_malformed_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal(monkeypatch, WEBHOOKS_ENCRYPTION_KEYS="k1:bm90LXRoaXJ0eS10d28=")
    assert said.startswith("WEBHOOKS_ENCRYPTION_KEYS: an encryption key is written")
    assert "bm90" not in said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HUB_ENV", "staging", "HUB_ENV is production, local or test"),
        ("SQLITE_SYNCHRONOUS", "OFF", "SQLITE_SYNCHRONOUS is FULL, NORMAL or EXTRA"),
    ],
)
def test_a_word_that_is_not_known_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    assert refusal(monkeypatch, **{name: value}) == said


def test_sqlite_keeps_what_was_committed_through_a_power_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = read(monkeypatch)["DATABASES"]["default"]["OPTIONS"]
    assert "journal_mode=WAL" in options["init_command"]
    assert "synchronous=FULL" in options["init_command"]
    assert options["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize(
    ("family", "value", "expected"),
    [("retry", "false", False), ("delivery", "true", True), ("analytics", "0", False)],
)
def test_a_family_is_switched_by_its_flag(
    monkeypatch: pytest.MonkeyPatch, family: str, value: str, expected: bool
) -> None:
    values = read(monkeypatch, **{f"QM_WEBHOOKS_{family.upper()}": value})
    others = dict.fromkeys(set(values["FAMILIES"]) - {family}, True)
    assert values["QM_WEBHOOKS"] == {**others, family: expected}


def test_there_is_a_worker_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    values = read(monkeypatch, WEBHOOKS_DELIVERY_PUMPS="3", WEBHOOKS_HANDLER_PUMPS="2")
    assert values["Q_CLUSTER"]["workers"] == 5 + 3 + 2
    assert values["Q_CLUSTER"]["retry"] > values["Q_CLUSTER"]["timeout"]
    assert values["Q_CLUSTER"]["ALT_CLUSTERS"]["delivery"] == {"workers": 4}
    assert values["Q_CLUSTER"]["ALT_CLUSTERS"]["processing"] == {"workers": 4}
    assert values["Q_CLUSTER"]["ALT_CLUSTERS"]["retry"] == {"workers": 2}


def test_redis_is_used_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch)["Q_CLUSTER"]["broker_class"].endswith("OrmBroker")
    values = read(monkeypatch, REDIS_URL="redis://127.0.0.1:6379/9")
    assert values["Q_CLUSTER"]["broker_class"].endswith("redis_broker")
    assert values["CACHES"]["default"]["LOCATION"] == "redis://127.0.0.1:6379/9"


def test_without_redis_the_processes_of_a_host_share_a_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = read(monkeypatch, HUB_VAR_DIR=str(tmp_path))["CACHES"]["default"]
    assert kept["LOCATION"] == str(tmp_path / "cache")
    one, other = (HostCache(kept["LOCATION"], kept) for _ in range(2))
    one.set("place", 7)
    assert other.get("place") == 7


def test_a_cache_that_cannot_be_written_keeps_nothing_and_fails_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = HostCache(str(tmp_path / "file"), {})  # where a directory should be
    cache.set("place", 7)
    assert cache.get("place", "nothing") == "nothing"
    assert cache.add("lock", 1) is True


def test_what_makes_a_node_unready_is_set_for_all_families_or_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = read(monkeypatch)
    families = settings["FAMILIES"]
    assert settings["WEBHOOKS_READY_AGE_SECONDS"] == dict.fromkeys(families, 300.0)
    assert settings["WEBHOOKS_READY_SILENT_SECONDS"] == {
        "processing": 30.0, "delivery": 30.0, "retry": 30.0, "monitoring": 200.0,
        "analytics": 200.0,
    }  # fmt: skip
    settings = read(
        monkeypatch,
        WEBHOOKS_READY_AGE_SECONDS="60",
        WEBHOOKS_READY_AGE_SECONDS_RETRY="900",
        WEBHOOKS_READY_SILENT_SECONDS_DELIVERY="5",
    )
    assert settings["WEBHOOKS_READY_AGE_SECONDS"] == dict.fromkeys(families, 60.0) | {
        "retry": 900.0
    }
    assert settings["WEBHOOKS_READY_SILENT_SECONDS"]["delivery"] == 5.0


def test_metrics_are_closed_and_without_accounts_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = read(monkeypatch)
    names = ("TOKEN", "PUBLIC", "ACCOUNTS")
    assert [settings[f"WEBHOOKS_METRICS_{name}"] for name in names] == ["", False, 0]
    (tmp_path / "token").write_text("from-a-file\n")
    settings = read(monkeypatch, WEBHOOKS_METRICS_TOKEN_FILE=str(tmp_path / "token"))
    assert settings["WEBHOOKS_METRICS_TOKEN"] == "from-a-file"
