"""A provider's documentation page, made from its declaration."""

from __future__ import annotations

from incoming.providers.call import Provider


def describe(provider: Provider) -> str:
    """A page in Markdown: what to configure, how calls are proved, and where id and type are."""
    lines = [f"# {provider.label}", "", f"Provider `{provider.name}`.", "", provider.setup, ""]
    lines += [f"- {term}: {text}" for term, text in provider.facts()]
    if provider.docs:
        lines += ["", f"The third party's own page: <{provider.docs}>"]
    return "\n".join(lines) + "\n"
