"""Every metric that Prometheus' rules, the dashboard and the reference name is one that Parcela has, and the reference
names them all."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.http.lab import Lab

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
REFERENCE = ROOT / "docs" / "reference" / "metrics.md"
NAME = re.compile(r"\b(?:parcela|process|python)_[a-z0-9_]+")


def expressions() -> dict[str, list[str]]:
    """Every expression of PromQL we ship, by file."""
    dashboard: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "parcela.json").read_text())
    rules: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus-rules.yml").read_text())
    return {
        "dashboard": [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]],
        "rules": [rule["expr"] for group in rules["groups"] for rule in group["rules"]],
    }


async def known(lab: Lab) -> tuple[set[str], set[str]]:
    """(names of families, names of their samples)."""
    text = (await lab.http.get("/metrics", headers=lab.people["admin"].headers)).text
    families = list(text_string_to_metric_families(text))
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    samples = {f"{family.name}{suffix}" for family in families for suffix in suffixes[family.type]}
    return {family.name for family in families}, samples


async def test_expressions_name_metrics_that_there_are(lab: Lab) -> None:
    _, samples = await known(lab)
    for where, found in expressions().items():
        assert found, where
        named = {name for expression in found for name in NAME.findall(expression)}
        assert named
        assert not named - samples, where


async def test_the_reference_names_them_all(lab: Lab) -> None:
    families, samples = await known(lab)
    told = set(re.findall(r"^\| `([a-z_]+)`", REFERENCE.read_text(), re.MULTILINE))
    ours = {name for name in families if name.startswith("parcela_")}
    counters = {sample.removesuffix("_total") for sample in samples if sample.endswith("_total")}
    assert told == {f"{name}_total" if name in counters else name for name in ours}


def test_prometheus_scrapes_the_route_there_is() -> None:
    config: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert [job["metrics_path"] for job in config["scrape_configs"]] == ["/metrics"]
    assert [(DEPLOY / name).exists() for name in config["rule_files"]] == [True]
