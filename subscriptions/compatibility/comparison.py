"""Two schemas held against each other, place by place and alternative by alternative."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from subscriptions.compatibility.changes import READERS, WRITERS, Change, Kind, below, change
from subscriptions.compatibility.rules import retyped, rule_changes, type_changes, value_changes
from subscriptions.compatibility.shapes import RULES, Shape, choices_of, joined, json_text, shape_of
from webhooks_project.lib.json_schema import NAMED, escaped

MAX_CHANGES: Final = 100  # listed at once; the rest would not help a reader
MAX_DEPTH: Final = 100  # schemas within each other, references followed; Python's stack ends
MAX_CANDIDATES: Final = 20  # of many alternatives without names, those that one is compared with
MAX_STEPS: Final = 20_000  # pairs of schemas compared; more is no schema that a person wrote


def breaking_changes(old: Any, new: Any) -> list[Change]:
    """What in the new schema breaks readers or writers of the old one; MAX_CHANGES at most."""
    found = _Comparison(old, new).compare(old, new)
    return list(dict.fromkeys(found))[:MAX_CHANGES]


class _Comparison:
    def __init__(self, old_root: Any, new_root: Any) -> None:
        self.roots = (old_root, new_root)
        self.known: dict[tuple[bytes, bytes], list[Change]] = {}
        self.steps = 0
        self.depth = 0

    def compare(self, old: Any, new: Any) -> list[Change]:
        """The changes from one schema to the other, their paths from here."""
        pair = (json_text(old), json_text(new))
        if pair[0] == pair[1] and b'"$ref"' not in pair[0]:
            return []
        if pair in self.known:  # met before, or the schema contains itself
            return self.known[pair]
        self.steps += 1
        if self.steps > MAX_STEPS or self.depth > MAX_DEPTH:
            detail = "the schemas are too large or too deep to be compared"
            return [change(Kind.CHANGED_RULE, detail, READERS)]
        self.known[pair] = []
        self.depth += 1
        self.known[pair] = self._compared(
            shape_of(old, self.roots[0]), shape_of(new, self.roots[1])
        )[:MAX_CHANGES]
        self.depth -= 1
        return self.known[pair]

    # --- one place ---

    def _compared(self, old: Shape, new: Shape) -> list[Change]:
        if old.is_nothing or new.is_nothing:
            return [] if old.is_nothing == new.is_nothing else [retyped(old, new)]
        if old.alternatives is not None or new.alternatives is not None:
            return self._alternatives(old, new)
        return [
            *type_changes(old, new),
            *value_changes(old, new),
            *rule_changes(old, new),
            *self._rules_within(old, new),
            *self._properties(old, new),
            *self._items(old, new),
        ]

    def _properties(self, old: Shape, new: Shape) -> Iterable[Change]:
        if "object" not in old.types & new.types:
            return
        for name, was in old.properties.items():
            path = f"/{escaped(name)}"
            if name not in new.properties:
                yield change(Kind.REMOVED_PROPERTY, f"{name} is gone", READERS, path)
                continue
            if name in old.required and name not in new.required:
                detail = f"{name} may be absent now"
                yield change(Kind.NO_LONGER_REQUIRED, detail, READERS, path)
            yield from below(path, self.compare(joined(was), joined(new.properties[name])))
        for name in sorted(new.required - old.required):
            path = f"/{escaped(name)}"
            yield change(Kind.NEW_REQUIRED, f"{name} must be there now", WRITERS, path)
        for name in sorted(old.required - new.required - old.properties.keys()):
            path = f"/{escaped(name)}"
            yield change(Kind.NO_LONGER_REQUIRED, f"{name} may be absent now", READERS, path)
        was, now = joined(old.additional), joined(new.additional)
        if now is False and was is not False:
            yield change(Kind.CLOSED, "no other properties are allowed now", WRITERS)
        elif was is not False and now is not False:
            yield from below("/*", self.compare(was, now))

    def _items(self, old: Shape, new: Shape) -> Iterable[Change]:
        if "array" not in old.types & new.types:
            return
        for index in range(max(len(old.prefix), len(new.prefix))):
            was = joined(old.prefix[index] if index < len(old.prefix) else old.items)
            now = joined(new.prefix[index] if index < len(new.prefix) else new.items)
            yield from below(f"/{index}", self.compare(was, now))
        yield from below("/*", self.compare(joined(old.items), joined(new.items)))

    def _rules_within(self, old: Shape, new: Shape) -> Iterable[Change]:
        """Rules that are written the same, and refer to what has changed."""
        for word in RULES:
            was = old.rules.get(word)
            if was != new.rules.get(word) or not isinstance(was, dict):
                continue
            parts = was.values() if word in NAMED else [was]
            if any(self.compare(part, part) for part in parts):
                yield change(Kind.CHANGED_RULE, f"{word} refers to what has changed", READERS)

    # --- alternatives ---

    def _alternatives(self, old: Shape, new: Shape) -> list[Change]:
        """Each alternative of the one schema has its like among those of the other."""
        before, after = choices_of(old), choices_of(new)
        found: list[Change] = []
        for was, now in self._paired(before, after):
            if now is None:
                title = _title(was)
                found.append(
                    change(Kind.REMOVED_ALTERNATIVE, f"{title} is not allowed now", WRITERS)
                )
            elif was is None:
                title = _title(now)
                found.append(change(Kind.ADDED_ALTERNATIVE, f"{title} may come now", READERS))
            else:
                found.extend(self.compare(was, now))
        return found

    def _paired(self, before: list[Any], after: list[Any]) -> list[tuple[Any, Any]]:
        """The same first, then those of one name, then those that differ in nothing that breaks,
        then the closest; what is left over is gone, or new."""
        rest = list(after)
        waiting = list(before)
        pairs: list[tuple[Any, Any]] = []
        for like in (_is_same, self._are_named_alike, self._is_unbroken, None):
            still_waiting: list[Any] = []
            for was in waiting:
                near = rest if like in (_is_same, self._are_named_alike) else rest[:MAX_CANDIDATES]
                now = self._closest(was, near) if like is None else _first(like, was, near)
                if now is None:
                    still_waiting.append(was)
                else:
                    pairs.append((was, now[0]))
                    rest = [item for item in rest if item is not now[0]]
            waiting = still_waiting
        return [*pairs, *((was, None) for was in waiting), *((None, now) for now in rest)]

    def _is_unbroken(self, was: Any, now: Any) -> bool:
        return not self.compare(was, now)

    def _closest(self, was: Any, near: list[Any]) -> tuple[Any] | None:
        """The one with the fewest changes of those that share a type with it, in a tuple."""
        types = shape_of(was, self.roots[0]).types
        alike = [now for now in near if shape_of(now, self.roots[1]).types & types]
        if not alike:
            return None
        return (min(alike, key=lambda now: len(self.compare(was, now))),)

    def _are_named_alike(self, was: Any, now: Any) -> bool:
        names, others = _names_of(was), _names_of(now)
        if not names.items() & others.items():
            return False
        return bool(shape_of(was, self.roots[0]).types & shape_of(now, self.roots[1]).types)


def _is_same(was: Any, now: Any) -> bool:
    return bool(was == now)


def _first(like: Callable[[Any, Any], bool], was: Any, among: list[Any]) -> tuple[Any] | None:
    """The first that is like it, in a tuple, since it may be any value."""
    return next(((now,) for now in among if like(was, now)), None)


def _names_of(alternative: Any) -> dict[str, str]:
    """The words by which an alternative is known: what it refers to, and its title."""
    if not isinstance(alternative, dict):
        return {}
    if alternative.keys() == {"allOf"}:
        return _names_of(alternative["allOf"][-1])
    return {
        word: alternative[word]
        for word in ("$ref", "title")
        if isinstance(alternative.get(word), str)
    }


def _title(alternative: Any) -> str:
    """What an alternative is called."""
    names = _names_of(alternative)
    if "title" in names:
        return names["title"]
    if "$ref" in names:
        return names["$ref"].rsplit("/", 1)[-1]
    kind = alternative.get("type") if isinstance(alternative, dict) else None
    return str(kind or "an alternative")
