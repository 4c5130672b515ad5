"""What the list of subscriptions does to many at once: each is shown as a dry run first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse

from subscriptions.bulk.files import FORMATS, MAX_FILE_BYTES, MAX_LINES, written_csv
from subscriptions.bulk.models import BulkJob
from subscriptions.bulk.planning import plan_action, plan_import
from subscriptions.bulk.selection import Selection
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.admin.access import may, rows_for
from webhooks_project.admin.buttons import acting
from webhooks_project.admin.forms import (
    Checkbox,
    Checkboxes,
    FileInput,
    JsonField,
    LinesField,
    Select,
    TextInput,
)
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib.errors import DomainError

if TYPE_CHECKING:
    from webhooks_project.admin.base import HubAdmin

    _Base = HubAdmin

    def list_button(**options: Any) -> Callable[[Any], Any]: ...
else:
    from unfold.decorators import action as list_button

    _Base = object

Action = BulkJob.Action
TITLES: Final = {
    Action.PAUSE: "Pause",
    Action.RESUME: "Resume",
    Action.DISABLE: "Disable",
    Action.ROTATE: "Rotate secrets",
    Action.ARCHIVE: "Archive",
}


class AccountForm(forms.Form):
    account = forms.ModelChoiceField(Account.objects.none(), widget=Select)

    def __init__(self, accounts: QuerySet[Account], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["account"]
        field.queryset = accounts  # type: ignore[attr-defined]  # generic in the stubs
        if accounts.count() == 1:
            field.initial = accounts.get()


class ImportForm(AccountForm):
    file = forms.FileField(widget=FileInput, help_text="JSON or CSV, as the export gives it.")
    all_or_nothing = forms.BooleanField(
        required=False, widget=Checkbox, help_text="Change nothing if a line is refused."
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_FILE_BYTES:
            raise forms.ValidationError(f"The file has more than {MAX_FILE_BYTES:,} bytes.")
        if _format_of(file.name) not in FORMATS:
            raise forms.ValidationError("The file's name must end in .json or .csv.")
        return file


class BulkForm(AccountForm):
    action = forms.ChoiceField(
        choices=[(item.value, item.value) for item in Action if item != Action.IMPORT],
        widget=Select,
    )
    statuses = forms.MultipleChoiceField(
        choices=[(item.value, item.value) for item in Subscription.Status],
        required=False,
        widget=Checkboxes,
        help_text="None for all that are not archived.",
    )
    labels = JsonField(required=False, help_text='Labels that each has, such as {"team": "a"}.')
    metadata = JsonField(required=False, help_text="Metadata that each has.")
    event_type = forms.CharField(
        required=False, widget=TextInput, help_text="Exactly as it is subscribed."
    )
    url_contains = forms.CharField(required=False, widget=TextInput, label="URL contains")
    reason = forms.CharField(
        required=False, max_length=200, widget=TextInput, help_text="Shown beside the status."
    )
    url_from = forms.CharField(
        required=False, widget=TextInput, label="Move URLs from",
        help_text="The beginning of the URLs that move.",
    )  # fmt: skip
    url_to = forms.CharField(required=False, widget=TextInput, label="to")
    keep_credentials = forms.BooleanField(
        required=False, widget=Checkbox,
        help_text="Another host may be sent the custom headers and the authentication that there "
        "are.",
    )  # fmt: skip
    set_labels = JsonField(required=False, help_text="Labels to set; null takes one away.")
    channels_add = LinesField(required=False, label="Channels to add")
    channels_remove = LinesField(required=False, label="Channels to take away")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name in ("labels", "metadata", "set_labels"):
            value = cleaned.get(name) or {}
            is_facts = isinstance(value, dict) and all(
                isinstance(text, str) or (text is None and name == "set_labels")
                for text in value.values()
            )
            if not is_facts:
                self.add_error(name, "Must be texts by name.")
        if bool(cleaned.get("url_from")) != bool(cleaned.get("url_to")):
            self.add_error("url_to", "Both beginnings are needed.")
        return cleaned

    @property
    def selection(self) -> Selection:
        names = ("statuses", "labels", "metadata", "event_type", "url_contains")
        return Selection.of({name: self.cleaned_data[name] for name in names})

    @property
    def settings(self) -> dict[str, Any]:
        given = {
            "labels" if name == "set_labels" else name: self.cleaned_data[name]
            for name in (
                "url_from",
                "url_to",
                "keep_credentials",
                "set_labels",
                "channels_add",
                "channels_remove",
            )
            if self.cleaned_data["action"] == Action.MOVE
        }
        given["reason"] = self.cleaned_data["reason"]
        return {name: value for name, value in given.items() if value}


def _format_of(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _shown_first(job_action: BulkJob.Action) -> Any:
    """An action of the list: a dry run over the chosen rows, by whose page it is started."""

    def plan(model_admin: HubAdmin, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse:
        rows = list(chosen.order_by("created_at", "pk").select_related("account")[: MAX_LINES + 1])
        if len(rows) > MAX_LINES:
            messages.error(request, f"At most {MAX_LINES:,} at once.")
            return HttpResponseRedirect(request.get_full_path())
        by_account: dict[Account, list[UUID]] = defaultdict(list)
        for row in rows:
            if may(request, Subscription, job_action, row):
                by_account[row.account].append(row.pk)
        with acting(request):
            jobs = [
                plan_action(
                    account=account,
                    action=job_action,
                    selection=Selection.of({"ids": ids, "statuses": Subscription.Status.values}),
                    is_dry_run=True,
                )
                for account, ids in by_account.items()
            ]
        if len(jobs) == 1:
            return HttpResponseRedirect(page_of("subscriptions.bulkjob", jobs[0].pk))
        return HttpResponseRedirect(list_of("subscriptions.bulkjob"))

    plan.__name__ = f"{job_action}_selected"
    plan.verb = job_action.value  # type: ignore[attr-defined]
    return admin.action(plan, permissions=["press"], description=TITLES[job_action])


@admin.action(permissions=["view"], description="Export as CSV")
def export_selected(
    model_admin: HubAdmin, request: HttpRequest, chosen: QuerySet[Any]
) -> StreamingHttpResponse:
    """The chosen rows as an import takes them."""
    rows = chosen.order_by("created_at", "pk").prefetch_related("patterns")
    return csv_file(written_csv(rows.iterator(chunk_size=500)), "subscriptions.csv")


def csv_file(content: Iterator[bytes], name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        content,
        content_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class BulkPages(_Base):
    """The part of the subscriptions' list that is about many."""

    actions = (export_selected, *(_shown_first(job_action) for job_action in TITLES))
    actions_list: ClassVar[Any] = ("import_file", "change_many")

    @list_button(description="Import", url_path="import", icon="upload_file", permissions=["add"])
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Asks for a file; its lines are shown as a dry run."""
        form = ImportForm(self._accounts(request), request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            return self._planned(
                request,
                form,
                lambda: plan_import(
                    account=given["account"],
                    content=given["file"].read(),
                    file_format=_format_of(given["file"].name),
                    is_dry_run=True,
                    is_all_or_nothing=given["all_or_nothing"],
                ),
                "Import",
            )
        return self._form(request, form, "Import")

    @list_button(
        description="Change many", url_path="change-many", icon="checklist", permissions=["add"]
    )
    def change_many(self, request: HttpRequest) -> HttpResponse:
        """Asks which and what; it is shown as a dry run."""
        form = BulkForm(self._accounts(request), request.POST or None)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            allowed = rows_for(request, Account.objects.all(), given["action"], of=Subscription)
            if not allowed.filter(pk=given["account"].pk).exists():
                raise PermissionDenied
            return self._planned(
                request,
                form,
                lambda: plan_action(
                    account=given["account"],
                    action=Action(given["action"]),
                    selection=form.selection,
                    settings=form.settings,
                    is_dry_run=True,
                ),
                "Change many",
            )
        return self._form(request, form, "Change many")

    def _accounts(self, request: HttpRequest) -> QuerySet[Account]:
        return rows_for(request, Account.objects.all(), "add", of=Subscription)

    def _planned(
        self, request: HttpRequest, form: forms.Form, plan: Callable[[], BulkJob], title: str
    ) -> HttpResponse:
        try:
            with acting(request):
                job = plan()
        except DomainError as error:
            form.add_error(None, str(error))
            return self._form(request, form, title)
        return HttpResponseRedirect(page_of("subscriptions.bulkjob", job.pk))

    def _form(self, request: HttpRequest, form: forms.Form, title: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "question": "First it is shown, line by line, what would happen. Nothing is changed "
            "until the job is started on its page.",
            "back_url": list_of("subscriptions.subscription"),
        }
        return TemplateResponse(request, "admin/console/bulk_form.html", context)
