"""The dashboard, the alert rules and the page about them name what /metrics really tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from incoming.providers import Cause
from monitoring.metrics.catalogue import METRICS
from outgoing.models import Attempt, Delivery
from subscriptions.models import Subscription

DOCS = Path(__file__).resolve().parents[2] / "docs"
ALERTS = yaml.safe_load((DOCS / "monitoring/alerts.yml").read_text())
DASHBOARD = json.loads((DOCS / "monitoring/dashboard.json").read_text())
PAGE = (DOCS / "metrics.md").read_text()
SAMPLES = {sample: metric for metric in METRICS for sample in metric.samples}
# What labels can be, by the metric's name where that matters.
VALUES = {
    "trigger": {*Delivery.Trigger.values},
    "outcome": {*Attempt.Outcome.values, "accepted", "duplicate", "handshake", "refused"},
    "cause": {*Cause, *Attempt.Cause.values, "none"},
    "state": {*Subscription.Breaker.values, "due", "waiting", "in_line", "held"},
    "status": {*Subscription.Status.values},
    "family": {"processing", "delivery", "retry", "monitoring", "analytics"},
    "severity": {"warning", "critical"},
}


def rules() -> list[Any]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_every_expression_asks_for_what_is_told() -> None:
    found = set()
    for title, text in expressions():
        names = set(re.findall(r"\bwebhooks_[a-z_]+", text))
        assert names, title
        assert names <= set(SAMPLES), f"{title}: {names - set(SAMPLES)}"
        found |= names
    assert len(found) > 25


def test_the_dashboard_shows_each_metric_that_is_not_by_account() -> None:
    shown = " ".join(
        target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
    )
    missing = {
        metric.name
        for metric in METRICS
        if not any(re.search(rf"\b{sample}\b", shown) for sample in metric.samples)
    }
    assert missing == {metric.name for metric in METRICS if "account" in metric.labels}


def test_every_label_is_one_of_its_metric_and_has_such_values() -> None:
    for title, text in expressions():
        for name, selector in re.findall(r"\b(webhooks_[a-z_]+)\{([^}]*)\}", text):
            for label, sign, value in re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', selector):
                assert label in SAMPLES[name].labels, title
                values = VALUES[label]
                assert any(re.fullmatch(value, known) for known in values), f"{title}: {value}"
                if "~" in sign:
                    for part in value.split("|"):
                        assert any(re.fullmatch(part, known) for known in values), part
        for labels in re.findall(r"\bby \(([a-z, ]+)\)", text):
            known = {label for metric in METRICS for label in metric.labels} | {"le"}
            assert {label.strip() for label in labels.split(",")} <= known, title


def test_expressions_are_whole() -> None:
    for title, text in expressions():
        for opened, closed in ("()", "[]", "{}"):
            assert text.count(opened) == text.count(closed), title
        # A counter is never asked for as it stands.
        for name in re.findall(r"\bwebhooks_[a-z_]+_(?:total|bucket)\b", text):
            before = r"(rate|increase)\(" + name + r"(\{[^}]*\})?\["
            assert re.search(before, text), f"{title}: {name}"


def test_every_alert_has_its_line_in_the_runbook() -> None:
    headings = {line[4:].strip() for line in PAGE.splitlines() if line.startswith("### ")}
    assert {rule["alert"] for rule in rules()} == headings
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/metrics.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_page_tells_each_metric_with_its_labels(metric: Any) -> None:
    name = metric.samples[0] if metric.type == "counter" else metric.name
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    for label in metric.labels:
        assert f"`{label}`" in line


def test_the_page_tells_no_other_metric() -> None:
    told = set(re.findall(r"`(webhooks_[a-z_]+)", PAGE))
    assert told <= {*SAMPLES, *(metric.name for metric in METRICS)}


def test_panels_stand_side_by_side_and_not_upon_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
