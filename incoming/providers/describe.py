"""The documentation of the providers, made from their declarations."""

from __future__ import annotations

from collections.abc import Iterable

from incoming.providers.call import Provider


def describe(provider: Provider) -> str:
    """A page in Markdown: what to configure, how calls are proved, and where id and type are."""
    lines = [f"# {provider.label}", "", f"Provider `{provider.name}`.", "", provider.setup, ""]
    lines += [f"- {term}: {text}" for term, text in provider.facts()]
    if provider.docs:
        lines += ["", f"The third party's own page: <{provider.docs}>"]
    return "\n".join(lines) + "\n"


def describe_all(providers: Iterable[Provider]) -> str:
    """The index of the pages, in Markdown: a row for each provider."""
    lines = [
        "# Providers",
        "",
        "Third parties that the hub can tell by their proof. Each page is made from the provider's",
        "own declaration by `manage.py write_provider_docs`. For anybody else there are",
        "[Generic HMAC](generic-hmac.md) and [Standard Webhooks](standard-webhooks.md).",
        "",
        "| Provider | Name | Proof | Handshake |",
        "| --- | --- | --- | --- |",
    ]
    for provider in sorted(providers, key=lambda item: item.label.lower()):
        facts = dict(provider.facts())
        cells = [
            f"[{provider.label}]({provider.name}.md)",
            f"`{provider.name}`",
            facts.get("Signature", ""),
            "yes" if "Handshake" in facts else "",
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
