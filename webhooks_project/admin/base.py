"""The bases of the console's pages: what can be changed, and history, which cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from webhooks_project.accounts.models import Account
from webhooks_project.accounts.roles import view_of
from webhooks_project.admin.access import may, rows_for, visible_rows
from webhooks_project.admin.bulk import is_gone
from webhooks_project.admin.buttons import ATTRIBUTE, ShownOnce, acting, show_once
from webhooks_project.admin.dates import date_steps
from webhooks_project.admin.forms import ChosenRow, ServiceForm
from webhooks_project.admin.panels import Panel
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib.errors import DomainError

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.core.paginator import Paginator as InfinitePaginator

    class _ModelAdmin(ModelAdmin[Any]):
        def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]: ...

    _ChangeList = ChangeList
else:
    from unfold.admin import ModelAdmin as _ModelAdmin
    from unfold.paginator import InfinitePaginator
    from unfold.views import ChangeList as _ChangeList


class HubChangeList(_ChangeList):
    """A list that does not read the columns which it does not show."""

    model_admin: HubAdmin

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request, *args, **kwargs)
        return found.defer(*self.model_admin.deferred).prefetch_related(
            *self.model_admin.prefetched
        )

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.model_admin.prepare_rows(list(self.result_list))


class HubAdmin(_ModelAdmin):
    """Rows that people make and change, by services.

    `deferred` are the columns that the list does not read; `prefetched` what it reads of other
    tables in queries of their own, where a join would lead a planner away from the order by time.
    `panels` are made from the row and stand below its fields, None for one that has nothing to
    say; an app that knows more of a row than the row's own app adds one. `empty_text` stands where
    the list has no rows at all: what makes one. With `has_history` a row's
    history is what the audit chain says of it. What changes a row runs with the user as the actor;
    a service's DomainError is shown in the form.
    """

    deferred: ClassVar[tuple[str, ...]] = ()
    prefetched: ClassVar[tuple[str, ...]] = ()
    panels: ClassVar[list[Callable[[Any], Panel | None]]] = []
    has_history: ClassVar[bool] = True
    empty_text: ClassVar[str] = ""
    actions_detail: ClassVar[tuple[str, ...]] = ()

    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_filter_submit = True
    list_fullwidth = True
    compressed_fields = True
    change_form_outer_after_template = "admin/console/panels.html"
    change_list_template = "admin/console/change_list.html"

    @classmethod
    def add_button(cls, view: Callable[..., HttpResponse]) -> None:
        """Add a button of an app that knows more of a row than the row's own app, as the first."""
        setattr(cls, view.__name__, view)
        cls.actions_detail = (view.__name__, *cls.actions_detail)

    # --- who may ---

    def may(self, request: HttpRequest, verb: str, row: Any = None) -> bool:
        """Whether the user may do what a button of that name does."""
        return may(request, self.model, verb, row)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may(request, self.model, "view")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, self.model, "view", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request, self.model, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, self.model, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, self.model, "delete", obj)

    def has_press_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the user may do anything to such rows; `get_actions` says what."""
        return may(request, self.model, "view", obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return visible_rows(request, super().get_queryset(request))

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Only rows that the user may choose: accounts in which they may add such rows, and
        otherwise what they may look at."""
        related = db_field.remote_field.model
        if "queryset" not in kwargs and view_of(related._meta.label_lower) is not None:
            rows = related._default_manager.all()
            kwargs["queryset"] = (
                rows_for(request, rows, "add", of=self.model)
                if related is Account
                else visible_rows(request, rows)
            )
        if "widget" not in kwargs and db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = ChosenRow(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {
            name: item
            for name, item in super().get_actions(request).items()
            if item is not None
            and (not hasattr(item[0], "verb") or may(request, self.model, item[0].verb))
        }

    # --- lists ---

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return HubChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        with acting(request):
            response = super().changelist_view(request, extra_context)
        context = response.context_data if isinstance(response, TemplateResponse) else None
        if context and "cl" in context:
            context["date_steps"] = date_steps(context["cl"])
        return response

    def prepare_rows(self, rows: list[Any]) -> None:
        """Read what the rows of a page show of other tables, all at once."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        found = self.find(term) if term else None
        if found is None:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(found), False

    def find(self, term: str) -> Q | None:
        """What a search term means, as far as there are indexes for it; None for Django's way."""
        return None

    # --- one row ---

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        page = super().changeform_view
        context = dict(extra_context or {})
        with acting(request):
            try:
                return page(request, object_id, form_url, dict(context))
            except DomainError as error:
                request.refused = error  # type: ignore[attr-defined]
            except ObjectDoesNotExist:
                pass  # deleted meanwhile, which the page says; of another row, it fails once more
            return page(request, object_id, form_url, context)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Any]]:
        form = super().get_form(request, obj, change, **kwargs)
        if issubclass(form, ServiceForm):
            form.refused = getattr(request, "refused", None)
        return form

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        # A form that was refused has written what was sent into the row that it was given.
        row = obj
        if obj is not None and self.panels and request.method == "POST":
            row = self.model._base_manager.filter(pk=obj.pk).first()
        made = [panel(row) for panel in self.panels] if row is not None else []
        context["panels"] = [panel for panel in made if panel is not None]
        context["show_history"] = self.has_history
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """The buttons that are possible on this row, for a user who may press them."""
        row = self.get_object(request, unquote(str(object_id)))
        if row is None:
            return []
        found: list[Any] = super().get_actions_detail(request, object_id)
        return [
            item
            for item in found
            if self.may(request, item.method.__name__, row)
            and getattr(item.method, ATTRIBUTE).is_possible(row)
        ]

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        shown = getattr(request, "shown_once", None)
        if shown is not None:
            return show_once(request, self, obj, shown)
        return super().response_add(request, obj, post_url_continue)

    def show_after_add(self, request: HttpRequest, shown: ShownOnce) -> None:
        """Answer the form that makes this row with its secret."""
        request.shown_once = shown  # type: ignore[attr-defined]

    def row_missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        messages.warning(request, f"There is no {self.opts.verbose_name} {object_id}.")
        return HttpResponseRedirect(list_of(self.opts.label_lower))

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The row's entries in the audit chain."""
        return HttpResponseRedirect(list_of("monitoring.auditentry", object_id=object_id))

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        page = super().delete_view
        with acting(request):
            try:
                return page(request, object_id, extra_context)
            except ObjectDoesNotExist:
                return page(request, object_id, extra_context)  # as `changeform_view` does
            except DomainError as error:
                messages.error(request, str(error))
        return HttpResponseRedirect(page_of(self.opts.label_lower, object_id))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Each as `delete_model` does, but for what somebody else deleted meanwhile."""
        for row in queryset:
            try:
                self.delete_model(request, row)
            except ObjectDoesNotExist:
                if not is_gone(row):
                    raise


class HistoryAdmin(HubAdmin):
    """Rows that tell what happened: shown, and never made, changed or deleted by hand."""

    # Counting a long history would take longer than reading a page of it.
    paginator = InfinitePaginator
    show_full_result_count = False
    list_disable_select_all = True
    has_history = False
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
