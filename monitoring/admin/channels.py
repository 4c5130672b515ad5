"""The ways to an account's people."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from monitoring.admin.notifications import NOTIFICATION_COLOURS
from monitoring.channels import KINDS, ChannelKind, services
from monitoring.channels.errors import TestFailed
from monitoring.models import Channel, Notification
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import ChoicesFilter, RelatedFilter
from webhooks_project.admin.forms import (
    LinesField,
    NumberInput,
    SecretArea,
    ServiceForm,
    Textarea,
    TextInput,
)
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import (
    EMPTY,
    column,
    label,
    link,
    list_of,
    moment,
    moment_column,
    page_of,
    short,
    visible,
)

SHOWN_ROWS: Final = 10
TEST_COLOURS: Final = {"works": "success", "failed": "danger", "not tested": "warning"}
COMMON: Final = ("hourly_limit", "quiet_from", "quiet_until", "time_zone")
CHANGEABLE: Final = ("name", "recipients", "secret", "region", *COMMON, "enabled")


class ChannelForm(ServiceForm):
    recipients = LinesField(
        required=False,
        widget=Textarea(attrs={"rows": 3}),
        help_text="One a line: an address, or a role (viewer, developer, operator, admin), whose "
        "members and those above are meant.",
    )
    secret = forms.CharField(max_length=2048, required=False, widget=SecretArea)
    hourly_limit = forms.IntegerField(
        min_value=1,
        max_value=services.MAX_HOURLY_LIMIT,
        initial=30,
        widget=NumberInput,
        help_text="Messages an hour at most, to each person; those over it become one message that "
        "says how many.",
    )
    time_zone = forms.CharField(
        max_length=64,
        initial="UTC",
        widget=TextInput,
        help_text="Whose clock the quiet hours and the times in messages go by, such as "
        "Europe/Berlin.",
    )

    class Meta:
        model = Channel
        fields = ("account", "name", "recipients", "region", *COMMON, "enabled")
        exclude = ("secret",)  # it is only entered; one that cannot be opened has a form as well
        help_texts: ClassVar = {
            "quiet_from": "What is not critical waits for the end of the quiet hours, such as "
            "22:00 to 07:00; empty for none.",
            "quiet_until": "When they end; on the next day where it is the earlier of the two.",
            "enabled": "Off: what would go through it is not sent.",
            "region": "Where the PagerDuty account is.",
        }

    error_fields: ClassVar = {"channel_exists": "name"}


@admin.register(Channel)
class ChannelAdmin(HubAdmin):
    form = ChannelForm
    empty_text = "A channel is a way to people: e-mail, Slack, Teams, PagerDuty, a webhook."
    deferred = ("secret",)
    autocomplete_fields = ("account",)
    created = moment_column("Created", "created_at")
    list_display = (
        "name", "kind_label", "reaches", "state_label", "test_label", "account", "created",
    )  # fmt: skip
    list_filter = (("kind", ChoicesFilter), ("account", RelatedFilter))
    list_select_related = ("account",)
    search_fields = ("name",)
    ordering = ("name",)
    actions_detail = ("test",)

    # --- the form ---

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        is_chosen = object_id is not None or request.GET.get("kind") in KINDS
        if is_chosen or not self.has_add_permission(request):
            return super().changeform_view(request, object_id, form_url, extra_context)
        return self._kind_choice(request)

    def _kind_choice(self, request: HttpRequest) -> HttpResponse:
        if request.method == "POST":
            return HttpResponseRedirect(request.path)
        kinds = [
            {"name": name, "label": Channel.Kind(name).label, "explanation": kind.explanation}
            for name, kind in KINDS.items()
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "How shall people be told?",
            "opts": self.opts,
            "kinds": kinds,
        }
        return TemplateResponse(request, "admin/console/channel_choice.html", context)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        kind = _kind(request, obj)
        own = [
            *(["recipients"] if kind.has_recipients else []),
            *(["secret"] if kind.asks_for else []),
            *(["region"] if kind.has_region else []),
        ]
        quiet = ("hourly_limit", ("quiet_from", "quiet_until"), "time_zone", "enabled")
        place = ["secret_end", "host_text"] if kind.asks_for else []
        state = ("kind_label", "account", *place, "tested", "test_text")
        first = ("account", "name", *own) if obj is None else ("name", *own)
        found = [
            (
                Channel.Kind(kind.kind).label,
                {"fields": first, "description": kind.explanation},
            ),
            ("When", {"fields": quiet}),
        ]
        return found if obj is None else [*found, ("State", {"fields": state})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = ("kind_label", "secret_end", "host_text", "tested", "test_text")
        return shown if obj is None else (*shown, "account")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Any]]:
        kind = _kind(request, obj)
        form: Any = super().get_form(request, obj, change, **kwargs)
        if kind.asks_for and "secret" in form.base_fields:
            field = form.base_fields["secret"]
            field.label = kind.asks_for
            field.help_text = (
                "It is kept sealed and never shown again."
                if obj is None
                else "Left empty, it stays as it is. It is kept sealed and never shown again."
            )
        return form  # type: ignore[no-any-return]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            changes = form.changes(CHANGEABLE)
            if not changes.get("secret"):
                changes.pop("secret", None)
            if changes:
                services.change_channel(channel=Channel.objects.get(pk=obj.pk), **changes)
            return
        fields = {name: value for name, value in form.cleaned_data.items() if value is not None}
        kind = _kind(request, None).kind.value
        obj.__dict__.update(services.create_channel(kind=kind, **fields).__dict__)

    def delete_model(self, request: HttpRequest, obj: Channel) -> None:
        services.delete_channel(channel=obj)

    # --- what is shown ---

    @column("Kind", ordering="kind")
    def kind_label(self, channel: Channel) -> str:
        return str(Channel.Kind(channel.kind).label)

    @column("Reaches")
    def reaches(self, channel: Channel) -> str:
        if channel.kind == Channel.Kind.EMAIL:
            return short(", ".join(str(item) for item in channel.recipients), 60) or EMPTY
        if channel.kind == Channel.Kind.WEBHOOK:
            return "subscriptions to incident.*"
        return channel.host or EMPTY

    @column("State")
    def state_label(self, channel: Channel) -> str:
        return label("on" if channel.enabled else "off", {"on": "success", "off": "danger"})

    @column("Test")
    def test_label(self, channel: Channel) -> str:
        return label(_test_state(channel), TEST_COLOURS)

    @column("Ends in")
    def secret_end(self, channel: Channel) -> str:
        if services.is_secret_lost(channel):
            return "It cannot be opened: enter it anew, or put its key back into the key ring."
        return services.secret_end(channel) or EMPTY

    @column("Sent to")
    def host_text(self, channel: Channel) -> str:
        return channel.host or EMPTY

    @column("Last tested")
    def tested(self, channel: Channel) -> str:
        return moment(channel.tested_at)

    @column("Result of the test")
    def test_text(self, channel: Channel) -> str:
        if channel.tested_at is None:
            return "It was not tested: press Test."
        return visible(channel.test_error) or "The message was taken."

    @button(
        "Test",
        icon="send",
        question="A test message is sent at once, whatever the limit and the quiet hours say. A "
        "test of PagerDuty opens an alert of the lowest severity and resolves it.",
    )
    def test(self, channel: Channel) -> str:
        tested = services.send_test(channel=channel)
        if tested.test_error:
            raise TestFailed(f"The test failed: {tested.test_error}")
        return "The test message was taken."


def _kind(request: HttpRequest, channel: Channel | None) -> ChannelKind:
    """The kind of the row, or of the one that is made."""
    if channel is not None:
        return KINDS[channel.kind]
    return KINDS.get(request.GET.get("kind", ""), KINDS[Channel.Kind.EMAIL.value])


def _test_state(channel: Channel) -> str:
    if channel.tested_at is None:
        return "not tested"
    return "failed" if channel.test_error else "works"


def notifications_of_channel(channel: Channel) -> Panel:
    found = Notification.objects.filter(channel=channel).order_by("-created_at")[:SHOWN_ROWS]
    rows = [
        [
            link(page_of("monitoring.notification", item.pk), moment(item.created_at)),
            label(item.status, NOTIFICATION_COLOURS),
            short(item.title),
            short(item.recipient) or EMPTY,
            short(item.error) or EMPTY,
        ]
        for item in found
    ]
    more = list_of("monitoring.notification", channel__id__exact=channel.pk)
    return Table(
        "What went through it",
        ["When", "Status", "Title", "To", "Error"],
        rows,
        empty="Nothing yet.",
        more=link(more, "All") if rows else "",
    )


def rules_of_channel(channel: Channel) -> Panel:
    rows = [
        [rule.name, use]
        for use, rules in (
            ("when it opens", channel.alert_rules),
            ("when nobody acknowledges it", channel.escalating_rules),
        )
        for rule in rules.order_by("name")[:SHOWN_ROWS]
    ]
    return Table("Alert rules that use it", ["Rule", "Told"], rows, empty="No rule uses it yet.")


ChannelAdmin.panels = [rules_of_channel, notifications_of_channel]
