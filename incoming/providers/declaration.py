"""What every provider declares, and what follows from it when a provider says nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from incoming.providers.call import Answer, Call, Identity, Refused, Secret
from incoming.providers.locator import check_locator, first
from incoming.providers.placing import place

Handshake = Callable[[Call, Sequence[Secret], Mapping[str, str]], Answer | Refused | None]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The part of a provider that is data. Without a name it is a part of another provider.

    `name`: the word in URLs, tables and options; `label`: the name that people know; `docs`: the
    third party's own page on verifying. `setup`: what to do at the third party, and what the
    source's secret is. `signing`: how the call is proved, in words, where no recipe says it.
    `id` and `type`: locators of the third party's id and event type, the first that has a value
    counts; a value in a header is mostly not signed. `methods`: what the source's URL answers.
    `on_handshake` and `handshake_text`: what the third party asks to see whether we are there;
    `unsigned_handshake` where it asks so in a POST without a signature; `learns_secret` where it
    tells the secret in it, `shows_learned_secret` where a person must then enter it at the third
    party. `acknowledgement`: the
    answer that it wants in place of an empty 2xx. `option_texts`: the source's options that are
    read, with their meaning; those in `required_options` must be set,
    those in `secret_options` are kept encrypted and never shown. `sends_secret`: the secret itself
    stands in each call, and is taken out before the call is stored. `sample_body`: what a sample's
    body holds besides id and type.
    """

    name: str = ""
    label: str = ""
    docs: str = ""
    setup: str = ""
    signing: str = ""
    id: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset({"POST"})
    on_handshake: Handshake | None = None
    handshake_text: str = ""
    unsigned_handshake: bool = False
    learns_secret: bool = False
    shows_learned_secret: bool = False
    acknowledgement: Answer | None = None
    option_texts: Mapping[str, str] = field(default_factory=dict)
    required_options: frozenset[str] = frozenset()
    secret_options: frozenset[str] = frozenset()
    sends_secret: bool = False
    sample_body: bytes = b"{}"

    def __post_init__(self) -> None:
        for locator in (*self.id, *self.type):
            check_locator(locator)

    @property
    def options(self) -> Mapping[str, str]:
        return self.option_texts

    def check_options(self, options: Mapping[str, str]) -> None:
        for name, value in options.items():
            if name not in self.options:
                raise ValueError(f"unknown option {name!r}")
            if not isinstance(value, str):
                raise ValueError(f"option {name!r} must be text")
        for name in sorted(self.required_options):
            if not options.get(name):
                raise ValueError(f"option {name!r} must be set: {self.options[name]}")

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        return Identity(external_id=first(call, self.id), type=first(call, self.type))

    def sample(
        self, call: Call, identity: Identity, options: Mapping[str, str] | None = None
    ) -> Call:
        call = replace(call, body=self.sample_body)
        if self.type:
            call = place(call, self.type[0], identity.type)
        return place(call, self.id[0], identity.external_id) if self.id else call

    def sign(
        self, call: Call, secret: Secret, options: Mapping[str, str] | None = None
    ) -> Call | None:
        return None

    def handshake(
        self, call: Call, secrets: Sequence[Secret], options: Mapping[str, str] | None = None
    ) -> Answer | Refused | None:
        if self.on_handshake is None:
            return None
        return self.on_handshake(call, secrets, options or {})

    def acknowledge(
        self, call: Call, secrets: Sequence[Secret], options: Mapping[str, str] | None = None
    ) -> Answer | None:
        return self.acknowledgement

    def facts(self) -> Sequence[tuple[str, str]]:
        facts = [("Signature", self.signing)] if self.signing else []
        facts.extend(self._shared_facts())
        return facts

    def _shared_facts(self) -> Sequence[tuple[str, str]]:
        facts = [("Methods", ", ".join(sorted(self.methods)))]
        if self.id:
            facts.append(("Id, for de-duplication", self._places(self.id)))
        if self.type:
            facts.append(("Event type", self._places(self.type)))
        if self.handshake_text:
            facts.append(("Handshake", self.handshake_text))
        if self.acknowledgement is not None:
            body = self.acknowledgement.body.decode()
            facts.append(("Acknowledgement", f"`{body}`" if body else "an empty body"))
        facts.extend(
            (
                f"Option `{name}`",
                f"{text} (kept encrypted)" if name in self.secret_options else text,
            )
            for name, text in self.options.items()
        )
        return facts

    def _places(self, locators: tuple[str, ...]) -> str:
        return ", else ".join(
            f"`{locator}`{'' if self._covers(locator) else ' (not signed)'}" for locator in locators
        )

    def _covers(self, locator: str) -> bool:
        """Whether what stands there is signed: hardly anybody signs headers."""
        return not locator.startswith("header:")


def usable(secrets: Sequence[Secret]) -> list[Secret]:
    """Those that are not empty: an empty secret would let anybody in."""
    return [secret for secret in secrets if secret.value]
