"""What `incoming/trials.py` answers, as panels, without secrets and proofs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from incoming import trials
from incoming.admin.trial_forms import CallForm
from incoming.masking import mask_of
from incoming.models import Receipt, Source, SourceSecret
from incoming.payload import parse
from incoming.providers import PROVIDERS, Call
from incoming.routing import Action, Handle, Notify, Publish, Update
from webhooks_project.admin.panels import Custom, Panel, Table, Texts, shown_end
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import json_text, label, moment, short, text_block, visible
from webhooks_project.lib.filters import Clause
from webhooks_project.lib.redaction import MASK, redact_headers

VERDICT_COLOURS: Final = {
    "valid": "success", "fits": "success", "matches": "success", "holds": "success",
    "takes it": "success", "refused": "danger", "does not fit": "danger",
    "does not match": "danger", "does not hold": "danger", "failed": "danger",
    "nothing": "warning",
}  # fmt: skip
WHY_NOT: Final = {
    "disabled": "it is disabled",
    "ended": "a route before it was the last",
    "type": "the type is another",
    "condition": "its condition does not hold",
}

Hide = Callable[[str], str]


def signature_answer(source: Source, form: CallForm, hide: Hide) -> list[Panel]:
    if form.receipt is not None and PROVIDERS[source.provider].sends_secret:
        return [_verdict_on_arrival(form.receipt)]
    at = form.receipt.received_at if form.receipt else None
    answer = trials.try_signature(source, form.call, moment=at)
    rows = [["Verdict", _verdict("valid" if answer.valid else "refused")]]
    if not answer.valid:
        rows += [["Step that failed", answer.cause], ["Why", answer.detail]]
    rows += [
        ["Secret that fitted", shown_secret(answer.secret_id) if answer.secret_id else ""],
        ["Provider's id", hide(answer.external_id)],
        ["Type", hide(answer.type)],
        ["Judged at", moment(at) if at else "now"],
    ]
    return [_facts("Answer", [row for row in rows if row[1]])]


def _verdict_on_arrival(receipt: Receipt) -> Panel:
    """What was found when it came: what proved it is no longer in what is stored."""
    rows = [
        ["Verdict on arrival", _verdict("valid" if receipt.is_verified else "refused")],
        ["Why", receipt.cause],
        ["Secret that fitted", shown_secret(receipt.secret_id) if receipt.secret_id else ""],
        ["Not tried anew", "This provider sends the secret itself, which is not stored."],
    ]
    return _facts("Answer", [row for row in rows if row[1]])


def payload_answer(source: Source, form: CallForm, hide: Hide) -> list[Panel]:
    answer = trials.try_payload(form.cleaned_data["schema"], _payload(form.call))
    rows = [[hide(error.path) or "the whole", hide(error.message)] for error in answer.errors]
    return [
        _verdict_panel("fits" if answer.valid else "does not fit"),
        Table("What does not fit", ["Path", "Why"], rows, empty="Nothing."),
    ]


def filter_answer(source: Source, form: CallForm, hide: Hide) -> list[Panel]:
    document = trials.document_for(source, form.asked)
    answer = trials.try_filter(form.cleaned_data["condition"], document)
    return [
        _verdict_panel("matches" if answer.matched else "does not match"),
        _clauses_panel("Clause by clause", answer.clauses, hide),
        Texts("What it was asked of", [text_block("Document", hide(json_text(document)))]),
    ]


def transformation_answer(source: Source, form: CallForm, hide: Hide) -> list[Panel]:
    data, bindings = trials.expression_input(source, form.asked)
    answer = trials.try_transformation(form.cleaned_data["expression"], data, bindings)
    if not answer.valid:
        rows = [["Why", hide(answer.message)], ["Reason", answer.reason]]
        if answer.position is not None:
            rows.append(["At character", str(answer.position)])
        return [_facts("Answer", [["Verdict", _verdict("failed")], *rows])]
    if answer.is_empty:
        return [_verdict_panel("nothing")]
    return [Texts("It gives", [text_block("Result", hide(json_text(answer.result)))])]


def routes_answer(source: Source, form: CallForm, hide: Hide) -> list[Panel]:
    answer = trials.try_routes(source, form.asked)
    if answer.cause:
        rows = [["Cause", answer.cause], ["Why", hide(answer.detail)]]
        return [_facts("Answer", [["Verdict", _verdict("failed")], *rows])]
    followed = [[name, hide(text)] for name, text in map(_action, answer.actions)]
    routes = [
        [
            short(hide(str(item.route))),
            _verdict("takes it") if item.taken else WHY_NOT.get(item.reason, item.reason),
        ]
        for item in answer.routes
    ]
    nothing = hide(answer.detail) or "Nothing."
    return [
        Table("What would follow", ["Action", "What"], followed, empty=nothing),
        Table("Route by route", ["Route", "Verdict"], routes, empty="There is none."),
        *(
            _clauses_panel(f"Condition of {short(hide(str(item.route)))}", item.clauses, hide)
            for item in answer.routes
            if item.clauses
        ),
    ]


def _action(action: Action) -> tuple[str, str]:
    match action:
        case Publish():
            return "publish", action.event_type
        case Handle():
            return "handle", action.handler
        case Update():
            return "update", _short(dict(action.changes))
        case Notify():
            recipients = ", ".join(action.route.recipients)
            return "notify", f"{recipients}: {action.text}"


def _clauses_panel(title: str, clauses: Sequence[Clause], hide: Hide) -> Panel:
    rows = [
        [
            hide(clause.pointer),
            clause.operator,
            hide(_short(clause.expected)),
            hide(", ".join(_short(value) for value in clause.found)) or "absent",
            _verdict("holds" if clause.passed else "does not hold"),
        ]
        for clause in clauses
    ]
    return Table(title, ["Clause", "Operator", "Wanted", "Found", "Verdict"], rows)


def _payload(call: Call) -> Any:
    return parse(call.body, call.headers.get("content-type", ""))


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}…"


def _verdict(word: str) -> str:
    return label(word, VERDICT_COLOURS)


def _verdict_panel(word: str) -> Panel:
    return _facts("Answer", [["Verdict", _verdict(word)]])


def _facts(title: str, rows: Sequence[Sequence[Any]]) -> Panel:
    return Custom(title, "admin/console/answer.html", {"rows": rows})


def shown_secret(key_text: str) -> str:
    """The secret that a call was proved with, by its end; by its name where it is not a row."""
    key = id_in(key_text)
    row = SourceSecret.objects.filter(pk=key).first() if key else None
    return f"secret {shown_end(row) if row else key_text}"


def hide_for(source: Source, call: Call) -> Hide:
    """What takes the source's secrets and the call's proofs out of an answer."""
    mask = mask_of(source)
    shown = redact_headers(dict(call.headers))
    proofs = [value for name, value in call.headers.items() if value and shown[name] != value]

    def hide(text: str) -> str:
        for proof in proofs:
            text = text.replace(proof, MASK)
        return visible(mask(text))

    return hide
