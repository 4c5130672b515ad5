"""Wrong combinations of settings, each by its id."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Error, Warning, run_checks

from webhooks_project import tracing
from webhooks_project.lib.ssrf import parse_networks


@pytest.fixture
def production(settings: Any) -> Any:
    settings.PRODUCTION = True
    settings.PUBLIC_URL = "https://hooks.example.com"
    settings.WEBHOOKS_ALLOWED_NETWORKS = ()
    settings.REDIS_URL = ""
    settings.WEB_PROCESSES = 1
    settings.QM_WEBHOOKS = dict.fromkeys(settings.FAMILIES, True)
    settings.HAS_MAIL = True
    return settings


def found() -> dict[str, type]:
    messages = [item for item in run_checks() if str(item.id).startswith("webhooks.")]
    assert all(item.hint for item in messages)
    return {str(item.id): type(item) for item in messages}


def test_a_right_node_has_nothing_to_be_told(production: Any) -> None:
    assert found() == {}


def test_e001_without_a_public_url(production: Any) -> None:
    production.PUBLIC_URL = ""
    assert found() == {"webhooks.E001": Error}


@pytest.mark.parametrize(
    "network",
    ["127.0.0.0/8", "127.0.0.1/32", "0.0.0.0/0", "126.0.0.0/7", "::1/128", "::/0", "::/64"],
)
def test_e002_where_deliveries_reach_this_machine(production: Any, network: str) -> None:
    production.WEBHOOKS_ALLOWED_NETWORKS = parse_networks(["10.0.0.0/8", network])
    assert found() == {"webhooks.E002": Error}


@pytest.mark.parametrize("network", ["10.0.0.0/8", "128.0.0.0/1", "fd00::/8", "::2/128"])
def test_other_networks_may_be_allowed(production: Any, network: str) -> None:
    production.WEBHOOKS_ALLOWED_NETWORKS = parse_networks([network])
    assert found() == {}


def test_neither_is_an_error_on_this_machine_alone(production: Any) -> None:
    production.PRODUCTION = False
    production.PUBLIC_URL = ""
    production.WEBHOOKS_ALLOWED_NETWORKS = parse_networks(["127.0.0.0/8"])
    assert found() == {}


def test_w001_where_processes_count_rates_apart(production: Any) -> None:
    production.WEB_PROCESSES = 2
    assert found() == {"webhooks.W001": Warning}
    production.REDIS_URL = "redis://127.0.0.1"
    assert found() == {}


def test_w002_where_a_node_serves_no_queue(production: Any) -> None:
    production.QM_WEBHOOKS = dict.fromkeys(production.FAMILIES, False)
    assert found() == {"webhooks.W002": Warning}
    production.QM_WEBHOOKS = {**production.QM_WEBHOOKS, "retry": True}
    assert found() == {}


def test_w003_without_a_mail_server(production: Any) -> None:
    production.HAS_MAIL = False
    assert found() == {"webhooks.W003": Warning}


def test_w004_where_traces_are_asked_for_that_cannot_be_made(
    production: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "is_asked_for", lambda: True)
    assert found() == {}
    monkeypatch.setattr(tracing, "is_installed", lambda: False)
    assert found() == {"webhooks.W004": Warning}


def test_w005_where_metrics_are_for_anybody(production: Any) -> None:
    production.WEBHOOKS_METRICS_PUBLIC = True
    assert found() == {"webhooks.W005": Warning}
