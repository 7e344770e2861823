"""The contenders by name: how each is built, and what it claims to do (benchmarks/duties.py)."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask

from benchmarks.decorated import decorated
from benchmarks.duties import EVERYTHING, Build, Settings, new_app
from benchmarks.floor import floor, floor_of_logging
from benchmarks.ours import ALL, ALWAYS_ON, DOES, EIGHT, as_generated, service
from benchmarks.recipe import (
    recipe,
    recipe_cors,
    recipe_headers,
    recipe_limiter,
    recipe_logging,
    recipe_talisman,
    whole_recipe,
)


@dataclass(frozen=True)
class Contender:
    build: Build
    does: frozenset[str]


def bare(settings: Settings) -> Flask:
    return new_app(settings)


CONTENDERS: dict[str, Contender] = {
    "bare": Contender(bare, frozenset()),
    "floor": Contender(floor, EVERYTHING),
    "floor: logging": Contender(floor_of_logging, frozenset({"log", "id"})),
    "recipe": Contender(whole_recipe, EVERYTHING),
    "recipe+talisman": Contender(
        recipe(recipe_logging, recipe_talisman, recipe_limiter, recipe_cors), EVERYTHING
    ),
    "four": Contender(service(*ALWAYS_ON, whole=True), EVERYTHING),
    "four + csrf": Contender(service(*ALWAYS_ON, "csrf", whole=True), EVERYTHING),
    "generated": Contender(as_generated, EVERYTHING),
    "eight": Contender(service(*EIGHT, whole=True), EVERYTHING | {"key"}),
    "decorated": Contender(decorated, EVERYTHING),
    **{
        f"+ {part}": Contender(
            service(*ALWAYS_ON[: n + 1]),
            frozenset().union(*(DOES[done] for done in ALWAYS_ON[: n + 1])),
        )
        for n, part in enumerate(ALWAYS_ON)
    },
    **{f"only {part}": Contender(service(part), DOES.get(part, frozenset())) for part in ALL},
    "recipe: logging": Contender(recipe(recipe_logging), frozenset({"log", "id"})),
    "recipe: cors": Contender(recipe(recipe_cors), frozenset({"cors"})),
    "recipe: rate_limiting": Contender(recipe(recipe_limiter), frozenset({"limit"})),
    "recipe: security": Contender(recipe(recipe_headers), frozenset({"headers"})),
}


def build(name: str, settings: Settings) -> Flask:
    return CONTENDERS[name].build(settings)
