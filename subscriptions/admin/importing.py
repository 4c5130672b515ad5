"""The page on which an operator imports event types: first what would be done, then that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from subscriptions.documents import MAX_DOCUMENT_BYTES, File, read_files
from subscriptions.imports import Import, import_event_types, plan_import
from webhooks_project.accounts.models import Account
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import acting
from webhooks_project.admin.forms import Checkbox, FileInput, Select
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import label, list_of, short
from webhooks_project.lib.errors import DomainError

SHOWN_CHANGES: Final = 3  # of one type
OUTCOMES: Final = {
    "created": "success",
    "changed": "info",
    "broken": "warning",
    "refused": "danger",
}


class _Files(FileInput):
    allow_multiple_selected = True


class _FilesField(forms.FileField):
    widget = _Files

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        given: Sequence[Any] = data if isinstance(data, list | tuple) else [data] if data else []
        return [super(_FilesField, self).clean(item, initial) for item in given]


class ImportForm(forms.Form):
    """`documents` carries the files from the plan to the import, so that they are sent once."""

    account = forms.ModelChoiceField(Account.objects.all(), widget=Select)
    uploads = _FilesField(
        required=False,
        label="Files",
        help_text="JSON Schema or OpenAPI documents with webhooks, as JSON or YAML; a .jsonl file "
        "holds examples.",
    )
    major = forms.BooleanField(
        required=False, widget=Checkbox, label="What breaks readers is a major version"
    )
    allow_breaking = forms.BooleanField(
        required=False, widget=Checkbox, label="Minor versions may break readers"
    )
    best_effort = forms.BooleanField(
        required=False, widget=Checkbox, label="Leave out what cannot be imported"
    )
    documents = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        files = [
            File(item.name, item.read(MAX_DOCUMENT_BYTES + 1))
            for item in cleaned.get("uploads", [])
        ]
        try:
            files = files or [
                File(name, content.encode())
                for name, content in orjson.loads(cleaned.get("documents") or b"[]")
            ]
        except (ValueError, TypeError, AttributeError) as error:
            raise forms.ValidationError("choose the files again") from error
        if not files:
            self.add_error("uploads", "choose one at least")
        cleaned["given"] = files
        return cleaned

    def carried(self) -> str:
        """The files as `documents` has them."""
        return orjson.dumps(
            [(file.name, file.content.decode("utf-8", "replace")) for file in self.files_given]
        ).decode()

    @property
    def files_given(self) -> list[File]:
        given: list[File] = self.cleaned_data["given"]
        return given


def import_page(model_admin: HubAdmin, request: HttpRequest) -> HttpResponse:
    """Asks on GET; on POST says what would be done, or does it."""
    is_asked = request.method == "POST"
    form = ImportForm(request.POST if is_asked else None, request.FILES if is_asked else None)
    panels: list[Panel] = []
    documents = ""
    if is_asked and form.is_valid():
        try:
            done = _work(request, form)
            if done.is_done:
                messages.success(request, _words(done))
                return HttpResponseRedirect(list_of("subscriptions.eventtype"))
            panels, documents = [_panel(done)], form.carried()
        except DomainError as error:
            form.add_error(None, str(error))
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Import event types",
        "opts": model_admin.opts,
        "form": form,
        "documents": documents,
        "panels": panels,
        "back_url": list_of("subscriptions.eventtype"),
    }
    return TemplateResponse(request, "admin/console/import_event_types.html", context)


def _work(request: HttpRequest, form: ImportForm) -> Import:
    given = form.cleaned_data
    words = {name: given[name] for name in ("major", "allow_breaking")}
    described = read_files(form.files_given)
    if "import" not in request.POST:
        return plan_import(account=given["account"], described=described, **words)
    with acting(request):
        return import_event_types(
            account=given["account"],
            described=described,
            best_effort=given["best_effort"],
            **words,
        )


def _panel(plan: Import) -> Panel:
    rows = []
    for line in plan.lines:
        about = [line.problem] if line.problem else list(line.changed_fields)
        about += [
            f"{change.path or 'the whole'}: {change.detail}"
            for change in line.changes[:SHOWN_CHANGES]
        ]
        about += [f"left out: {problem}" for problem in line.example_problems[:SHOWN_CHANGES]]
        rows.append(
            [
                short(line.name),
                label(line.outcome.value, OUTCOMES),
                line.version or "-",
                line.example_count,
                short("; ".join(about), 300),
            ]
        )
    headers = ["Event type", "Outcome", "Version", "Examples", "About"]
    return Table(f"What would be done: {_words(plan)}", headers, rows)


def _words(done: Import) -> str:
    said = [f"{count} {outcome}" for outcome, count in done.counts.items() if count]
    return ", ".join(said) or "nothing"
