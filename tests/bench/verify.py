"""What it costs to prove who sent a call, for each family of providers: no server, no database."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Final

import orjson

from incoming.providers import PROVIDERS, Call, Provider, Secret, Verified, pinned
from incoming.providers.recipe import Recipe
from tests.bench.report import say, show_value
from tests.incoming.providers import cases_of_keys, cases_of_modules, cases_of_recipes
from tests.incoming.providers.cases import BODY, NOW, Case

NAME: Final = "verify"
BODY_BYTES: Final = 1024
SECONDS: Final = 0.05  # of each measurement
CASES: Final[dict[str, Case]] = {
    **cases_of_recipes.CASES,
    **cases_of_keys.CASES,
    **cases_of_modules.CASES,
}


@dataclass(frozen=True)
class Proof:
    """A right call of a provider, and what it is judged by."""

    provider: Provider
    call: Call
    secrets: list[Secret]
    options: dict[str, str]

    def cost(self) -> float:
        """Microseconds to verify it. Raises RuntimeError where it is not accepted."""
        count = 0
        start = time.perf_counter()
        while (spent := time.perf_counter() - start) < SECONDS:
            # A call parses its JSON once and keeps it: each is another, as at the door.
            call = Call(
                self.call.method, self.call.url, self.call.headers, self.call.body,
                self.call.received_at,
            )  # fmt: skip
            verdict = self.provider.verify(call, self.secrets, options=self.options)
            if not isinstance(verdict, Verified):
                raise RuntimeError(f"{self.provider.name}: {verdict}")
            count += 1
        return spent / count * 1e6


def measure_verify(*, runs: int) -> None:
    """Print `verify` for each family: the median provider's cost, and the dearest."""
    families: dict[str, list[str]] = {}
    for name in sorted(CASES):
        families.setdefault(_family(PROVIDERS[name]), []).append(name)
    with pinned.offline():
        for family, names in sorted(families.items(), key=lambda item: (-len(item[1]), item[0])):
            costs = {name: _cost(name, runs) for name in names}
            dearest = max(costs, key=lambda name: costs[name])
            say(f"verify {family}: {median(costs.values()):.1f} µs")
            show_value(
                NAME,
                median(costs.values()),
                "microseconds",
                runs=runs,
                family=family,
                providers=len(costs),
                dearest={dearest: round(costs[dearest], 1)},
            )


def _cost(name: str, runs: int) -> float:
    case = CASES[name]
    call = case.sign(case.secrets[0], _body(case), NOW)
    values = (case.secrets[0], *case.pinned)
    secrets = [Secret(id=str(number), value=value) for number, value in enumerate(values)]
    proof = Proof(PROVIDERS[name], call, secrets, dict(case.options))
    return median(proof.cost() for _ in range(runs))


def _body(case: Case) -> bytes:
    """A body of 1 KiB where the provider's own is nothing special."""
    if case.body != BODY:
        return case.body
    body = orjson.loads(BODY)
    return orjson.dumps(body | {"text": "x" * (BODY_BYTES - len(BODY) - 10)})


def _family(provider: Provider) -> str:
    if isinstance(provider, Recipe):
        algorithm = provider.algorithm
        return algorithm if algorithm not in ("hmac", "digest") else f"{algorithm}-{provider.hash}"
    return type(provider).__name__
