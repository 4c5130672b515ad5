"""Tenants, people and keys."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin import options
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from webhooks_project.accounts import services
from webhooks_project.accounts.models import (
    KEPT_DAYS_FIELDS,
    MAX_KEPT_DAYS,
    Account,
    ApiKey,
    Membership,
    Role,
    User,
)
from webhooks_project.admin.access import may, may_everywhere
from webhooks_project.admin.base import HistoryAdmin, HubAdmin
from webhooks_project.admin.buttons import ShownOnce, acting, button
from webhooks_project.admin.filters import RelatedFilter, YesNoFilter
from webhooks_project.admin.forms import Checkboxes, Select, ServiceForm, TextInput
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import (
    column,
    label,
    link,
    link_to,
    list_of,
    moment_column,
    visible,
)
from webhooks_project.lib import clock

if TYPE_CHECKING:
    from django.contrib.auth.forms import (
        AdminPasswordChangeForm,
        UserChangeForm,
    )
    from django.contrib.auth.forms import AdminUserCreationForm as UserCreationForm

    _MembershipInline = admin.TabularInline[Membership, Account]
    _UserAdmin = DjangoUserAdmin[User]
else:
    from unfold.admin import TabularInline as _MembershipInline
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

    _UserAdmin = DjangoUserAdmin

KEY_COLOURS = {"valid": "success", "expired": "warning", "revoked": "danger"}
LISTS_OF_ACCOUNT = {
    "Sources": "incoming.source",
    "Receipts": "incoming.receipt",
    "Subscriptions": "subscriptions.subscription",
    "Event types": "subscriptions.eventtype",
    "Events": "outgoing.event",
    "Deliveries": "outgoing.delivery",
    "API keys": "accounts.apikey",
    "Audit": "monitoring.auditentry",
}


def lists_of_account(account: Account) -> Panel:
    """The ways from a tenant to what is its own."""
    rows = [
        [link(list_of(model, account__id__exact=account.pk), title)]
        for title, model in LISTS_OF_ACCOUNT.items()
    ]
    if account.has_public_catalogue:
        rows.append([link(reverse("catalogue", args=[account.slug]), "Public catalogue")])
    return Table("What the account has", ["List"], rows)


class MembershipInline(_MembershipInline):
    model = Membership
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    extra = 0


def members_of_account(account: Account) -> Panel:
    rows = [
        [visible(row.user.get_username()), row.role]
        for row in account.memberships.select_related("user").order_by("user__username")
    ]
    return Table("Members", ["User", "Role"], rows, empty="Nobody.")


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150, widget=TextInput)
    role = forms.ChoiceField(
        choices=[*Role.choices, ("", "none: no longer a member")], required=False, widget=Select
    )


ACCOUNT_FIELDS = (
    "name", "slug", *KEPT_DAYS_FIELDS, "unknown_event_types",
    "has_public_catalogue", "asks_for_ownership", "time_zone",
)  # fmt: skip


class AccountForm(ServiceForm):
    class Meta:
        model = Account
        fields = ACCOUNT_FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.fields.keys() & set(KEPT_DAYS_FIELDS):
            self.fields[name].validators.append(MaxValueValidator(MAX_KEPT_DAYS))


@admin.register(Account)
class AccountAdmin(HubAdmin):
    form = AccountForm
    created = moment_column("Created", "created_at")
    fields = ACCOUNT_FIELDS
    inlines = (MembershipInline,)
    panels: ClassVar = [members_of_account, lists_of_account]
    actions_detail = ("set_member",)
    prepopulated_fields: ClassVar = {"slug": ("name",)}
    list_display = ("name", "slug", "created")
    search_fields = ("name", "slug")
    date_hierarchy = "created_at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_everywhere(request, Account, "add")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its history would go with it

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changes = form.changes(ACCOUNT_FIELDS)
        if change and changes:
            services.change_account(account=Account.objects.get(pk=obj.pk), **changes)
        elif not change:
            made = services.create_account(**{name: getattr(obj, name) for name in ACCOUNT_FIELDS})
            obj.pk, obj.created_at = made.pk, made.created_at

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save(commit=False)
        changed = [
            (row, Membership.objects.get(pk=row.pk), "user" in fields)
            for row, fields in formset.changed_objects
        ]
        given = [*formset.new_objects, *(row for row, _, _ in changed)]
        # Roles are given before any is taken, the highest first: one administrator may follow
        # another, and the account is never without.
        for row in sorted(given, key=lambda row: Role(row.role).rank, reverse=True):
            services.set_membership(account=form.instance, user=row.user, role=Role(row.role))
        for row in formset.deleted_objects:
            services.end_membership(membership=row)
        for _, before, is_another in changed:
            if is_another:
                services.end_membership(membership=before)

    @button(
        "Set a member",
        icon="person_add",
        question="The user has this role in the account from now on.",
        form=MemberForm,
    )
    def set_member(self, account: Account, username: str, role: str) -> str:
        if not role:
            services.end_membership(
                membership=services.member_named(account=account, username=username)
            )
            return f"{username} is no longer a member."
        user = services.user_named(username)
        services.set_membership(account=account, user=user, role=Role(role))
        return f"{username} is {role}."


class RevokedFilter(YesNoFilter):
    title = "revoked"
    parameter_name = "revoked"
    column = "revoked_at"
    words = ("revoked", "not revoked")


class ApiKeyForm(ServiceForm):
    scopes = forms.MultipleChoiceField(
        choices=Role.choices,
        initial=[Role.DEVELOPER],
        widget=Checkboxes,
        help_text="Each role includes those before it.",
    )

    class Meta:
        model = ApiKey
        fields = ("account", "name", "scopes", "expires_at")


@admin.register(ApiKey)
class ApiKeyAdmin(HistoryAdmin):
    """Keys are made and revoked, never changed."""

    form = ApiKeyForm
    created = moment_column("Created", "created_at")
    expires = moment_column("Expires", "expires_at")
    last_used = moment_column("Last used", "last_used_at")
    autocomplete_fields = ("account",)
    has_history = True
    list_display = ("name", "key", "account", "role", "state", "created", "last_used")
    list_filter = (("account", RelatedFilter), RevokedFilter)
    list_select_related = ("account",)
    search_fields = ("name", "prefix")
    date_hierarchy = "created_at"
    actions_detail = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may(request, ApiKey, "add")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("account", "name", "scopes", "expires_at")
        return ("name", "key", "account", "role", "state", "created", "expires", "last_used")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else self.get_fields(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        made = services.create_api_key(**form.cleaned_data)
        obj.__dict__.update(made.api_key.__dict__)
        self.show_after_add(request, ShownOnce("API key", made.text))

    @button(
        "Revoke",
        icon="key_off",
        variant="danger",
        question="The key is refused from now on. That cannot be undone.",
        is_possible=lambda api_key: api_key.revoked_at is None,
    )
    def revoke(self, api_key: ApiKey) -> str:
        services.revoke_api_key(api_key=api_key)
        return "The key is revoked."

    @column("Key")
    def key(self, api_key: ApiKey) -> str:
        return f"whk_{api_key.prefix}_…"

    @column("Role")
    def role(self, api_key: ApiKey) -> str:
        return str(api_key.role.value)

    @column("State")
    def state(self, api_key: ApiKey) -> str:
        if api_key.revoked_at is not None:
            return label("revoked", KEY_COLOURS)
        is_expired = api_key.expires_at is not None and api_key.expires_at <= clock.now()
        return label("expired" if is_expired else "valid", KEY_COLOURS)


def memberships_of_user(user: User) -> Panel:
    rows = [[link_to(row.account), row.role] for row in user.memberships.select_related("account")]
    return Table("Accounts", ["Account", "Role"], rows, empty="In no account.")


@admin.register(User)
class UserAdmin(_UserAdmin, HubAdmin):  # type: ignore[misc]  # get_form of the stubs
    """Who may come in. Only a superuser decides who else is one, and what anybody may do."""

    form = UserChangeForm  # type: ignore[assignment]  # generic in the stubs
    add_form = UserCreationForm
    last_seen = moment_column("Last login", "last_login")
    change_password_form = AdminPasswordChangeForm
    panels: ClassVar = [memberships_of_user]
    date_hierarchy = "date_joined"
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_seen")
    history_view = options.ModelAdmin.history_view  # users are no account's; Django's log has them

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fields = tuple(super().get_readonly_fields(request, obj))
        if request.user.is_superuser:
            return fields
        return (*fields, "is_staff", "is_superuser", "groups", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return bool(super().has_delete_permission(request, obj))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        request.facts_before = (  # type: ignore[attr-defined]
            services.facts_of(User.objects.get(pk=obj.pk)) if change else None
        )
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        before = getattr(request, "facts_before", None)
        after = services.facts_of(form.instance)
        if before is None or before == after:
            return
        names = [name for name in after if before[name] != after[name]]
        services.note_user_change(
            user=form.instance,
            verb="changed",
            before={name: before[name] for name in names},
            after={name: after[name] for name in names},
        )

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        with acting(request):
            response = super().user_change_password(request, id, form_url)
            user = self.get_object(request, unquote(id))
            if request.method == "POST" and response.status_code == HTTPStatus.FOUND and user:
                services.note_user_change(
                    user=user, verb="password_changed", before={}, after={"username": str(user)}
                )
        return response

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        services.note_user_change(user=obj, verb="deleted", before=services.facts_of(obj), after={})
        super().delete_model(request, obj)


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, HubAdmin):
    """What staff who are no superusers may see and do."""

    list_display = ("name",)
    history_view = options.ModelAdmin.history_view
