"""The page of dead letters, those that failed alike together, with what is done to a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from webhooks_project.accounts.models import Account
from webhooks_project.admin.access import may, rows_for
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.buttons import Button, Variant, acting
from webhooks_project.admin.forms import Checkbox, Select, TextInput
from webhooks_project.admin.panels import Table
from webhooks_project.admin.values import EMPTY, moment, short
from webhooks_project.dead_letters import (
    MAX_LETTERS_AT_ONCE,
    MAX_REASON_LENGTH,
    count_groups,
)

SHOWN_GROUPS: Final = 50
VERBS: Final = ("redo", "discard")
BY_FILTER: Final = {
    "redo": "Those that died first are taken first.",
    "discard": "They leave the list of dead letters for good, and stay to be seen, with the "
    "reason.",
}


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=MAX_REASON_LENGTH,
        widget=TextInput,
        help_text="Why nobody is to take it up. It is kept, and shown to all who look at it.",
    )


def group_text(text: str) -> SafeString:
    """What the failures of a group have in common, as code."""
    return format_html('<code class="hub-code">{}</code>', short(text, 160) or EMPTY)


def _one_line(text: str) -> SafeString:
    return format_html('<span class="whitespace-nowrap">{}</span>', text)


class FilterForm(forms.Form):
    """Which dead letters, of one account. One mark beside it is to be named."""

    account = forms.ModelChoiceField(Account.objects.none(), widget=Select)
    cause = forms.CharField(
        required=False, max_length=64, widget=TextInput, help_text="As the list tells it."
    )
    since = forms.DateTimeField(
        required=False,
        widget=TextInput,
        help_text="Given up since then, in UTC, such as 2026-01-31 12:00.",
    )
    until = forms.DateTimeField(
        required=False, widget=TextInput, help_text="Given up before then, in UTC."
    )
    only_counts = forms.BooleanField(
        required=False,
        initial=True,
        widget=Checkbox,
        label="Only count",
        help_text="Nothing is done; you are told how many there are.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        unsaid = {"account", "only_counts", "reason"}
        given = [name for name, value in cleaned.items() if name not in unsaid and value]
        if not given and not self.errors:
            raise forms.ValidationError("Name a mark; of all there are, say since or until when.")
        return cleaned

    def marks(self) -> dict[str, Any]:
        """The marks that are given, by name."""
        unsaid = {"only_counts", "reason"}
        return {name: value for name, value in self.cleaned_data.items()
                if name not in unsaid and value not in (None, "")}  # fmt: skip


class DeadLetterAdmin(HistoryAdmin):
    """Rows of which some are dead letters. The page of groups shows each their own accounts'.

    `redo` is what is done to have some again: a button's title and its question about a group;
    `redo_verb` is the API's word for it, by which it is known who may. `letters` makes a selection
    of its marks, and has its `rows`; `filter_form` asks for the marks.
    """

    group_headers: ClassVar[tuple[str, ...]]
    redo: ClassVar[tuple[str, str]]
    redo_verb: ClassVar[str]
    redone: ClassVar[str]  # what is told of it, after the count
    letters: ClassVar[type[Any]]
    filter_form: ClassVar[type[FilterForm]]

    def groups_of(self, rows: QuerySet[Any]) -> Sequence[Any]:
        """The SHOWN_GROUPS largest groups among the rows."""
        raise NotImplementedError

    def group_cells(self, group: Any) -> list[Any]:
        """What is told of a group under `group_headers`."""
        raise NotImplementedError

    def redo_letters(self, letters: Any) -> int:
        """Have them again, MAX_LETTERS_AT_ONCE at most. Returns how many there were."""
        raise NotImplementedError

    def discard_letters(self, letters: Any, reason: str) -> int:
        """Discard them, MAX_LETTERS_AT_ONCE at most. Returns how many there were."""
        raise NotImplementedError

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("dead-letters/", wrap(self.groups_view), name=self._url_name("dead_letters")),
            path(
                "dead-letters/filter/<str:verb>/",
                wrap(self.filter_view),
                name=self._url_name("dead_filter"),
            ),
            path(
                "dead-letters/<str:fingerprint>/<str:verb>/",
                wrap(self.group_view),
                name=self._url_name("dead_group"),
            ),
            *super().get_urls(),
        ]

    def groups_view(self, request: HttpRequest) -> HttpResponse:
        if not may(request, self.model, "view"):
            raise PermissionDenied
        # Account by account: so are they indexed.
        rows = self.letters().rows().filter(account__in=Account.objects.order_by())
        rows = rows_for(request, rows, "view")
        groups, count = self.groups_of(rows), count_groups(rows)
        verbs = [verb for verb in VERBS if may(request, self.model, self._api_verb(verb))]
        table = [
            [
                *self.group_cells(group),
                _one_line(moment(group.first_at)),
                _one_line(moment(group.last_at)),
                *([self._buttons(request, group)] if verbs else []),
            ]
            for group in groups
        ]
        headers = [*self.group_headers, "First", "Last", *([""] if verbs else [])]
        more = f"The {SHOWN_GROUPS} largest of {count:,} groups." if count > len(groups) else ""
        context = {
            **self.admin_site.each_context(request),
            "title": "Dead letters",
            "opts": self.opts,
            "panel": Table("Dead letters", headers, table, empty="There are none.", more=more),
            "links": [
                {"url": self._url("dead_filter", verb), "title": f"{self._title(verb)} by filter"}
                for verb in verbs
            ],
        }
        return TemplateResponse(request, "admin/console/dead_letters.html", context)

    def group_view(self, request: HttpRequest, fingerprint: str, verb: str) -> HttpResponse:
        """Asks on GET, acts on POST."""
        described = self._described(verb)
        needed = self._api_verb(verb)
        if not may(request, self.model, needed):
            raise PermissionDenied
        row = rows_for(request, self.letters(fingerprint=fingerprint).rows(), "view").first()
        if row is None:
            raise Http404
        if not may(request, self.model, needed, row):
            raise PermissionDenied
        form = described.form(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            letters = self.letters(account=row.account, fingerprint=fingerprint)
            with acting(request):
                messages.success(request, self._act(letters, **form.cleaned_data))
            return HttpResponseRedirect(self._url("dead_letters"))
        return self._asked(request, described, form, f"group {fingerprint[:8]}")

    def filter_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """The same for all that a filter finds."""
        described = self._described(verb)
        needed = self._api_verb(verb)
        if not may(request, self.model, needed):
            raise PermissionDenied
        bases = (described.form, self.filter_form) if verb == "discard" else (self.filter_form,)
        form = type("Form", bases, {})(request.POST if request.method == "POST" else None)
        accounts = rows_for(request, Account.objects.order_by("name"), needed, of=self.model)
        form.fields["account"].queryset = accounts
        last = ("since", "until", "reason", "only_counts")
        marks = [name for name in self.filter_form.base_fields if name not in last]
        form.order_fields([*marks, *last])
        if verb == "discard" and "only_counts" in form.data:
            form.fields["reason"].required = False
        if request.method == "POST" and form.is_valid():
            letters = self.letters(**form.marks())
            if form.cleaned_data["only_counts"]:
                messages.info(request, f"{letters.rows().count():,} are found.")
            else:
                reason = form.cleaned_data.get("reason", "")
                with acting(request):
                    messages.success(request, self._act(letters, reason))
                return HttpResponseRedirect(self._url("dead_letters"))
        asks = Button(
            described.title,
            "All that have every mark which is named here. " + BY_FILTER[verb],
            "",
            described.variant,
            lambda row: True,
            forms.Form,
        )
        return self._asked(request, asks, form, "by filter")

    def _asked(
        self, request: HttpRequest, described: Button, form: forms.Form, what: str
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": described.title,
            "opts": self.opts,
            "original": what,
            "button": described,
            "form": form,
            "back_url": self._url("dead_letters"),
        }
        return TemplateResponse(request, "admin/console/confirm.html", context)

    def _api_verb(self, verb: str) -> str:
        return self.redo_verb if verb == "redo" else verb

    def _title(self, verb: str) -> str:
        return self.redo[0] if verb == "redo" else "Discard"

    def _described(self, verb: str) -> Button:
        title, question = self.redo
        found: dict[str, tuple[str, str, Variant, type[forms.Form]]] = {
            "redo": (title, question, "primary", forms.Form),
            "discard": (
                "Discard",
                "All of the group leave the list of dead letters for good. They stay to be seen, "
                "with the reason.",
                "danger",
                ReasonForm,
            ),
        }
        if verb not in found:
            raise Http404
        title, question, variant, form = found[verb]
        return Button(title, question, "", variant, lambda row: True, form)

    def _act(self, letters: Any, reason: str = "") -> str:
        if reason:
            count = self.discard_letters(letters, reason)
            said = f"{count:,} are discarded."
        else:
            count = self.redo_letters(letters)
            said = f"{count:,} {self.redone}"
        left = f" There may be more: {MAX_LETTERS_AT_ONCE:,} are taken at once."
        return said + left * (count >= MAX_LETTERS_AT_ONCE)

    def _buttons(self, request: HttpRequest, group: Any) -> str:
        if not group.fingerprint:
            return ""
        account = Account(pk=group.account_id)
        links = [
            {"url": self._url("dead_group", group.fingerprint, verb), "title": self._title(verb)}
            for verb in VERBS
            if may(request, self.model, self._api_verb(verb), account)
        ]
        return render_to_string("admin/console/group_buttons.html", {"links": links})

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _url(self, page: str, *args: str) -> str:
        return reverse(f"admin:{self._url_name(page)}", args=args)
