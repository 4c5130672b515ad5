"""Single figures, large: each with how it changed, and beside it that of the period before."""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from analytics.measures import Described, Value, change_written, written
from analytics.shown import Figures


def numbers(figures: Figures) -> SafeString:
    """One figure for each measure; how they stand is by the room that the widget has."""
    several = len(figures.measures) > 1
    found = [
        (
            format_html('<p class="hub-of">{}</p>', measure.label) if several else "",
            written(value, measure.unit),
            _change(measure, before, change) if figures.spec.compare else "",
            _beside(value, before) if figures.spec.compare else "",
        )
        for measure, value, before, change in figures.numbers()
    ]
    return format_html(
        '<div class="hub-numbers"><div>{}</div></div>',
        format_html_join(
            "", '<div class="hub-figure">{}<p class="hub-big">{}</p>{}{}</div>', found
        ),
    )


def _change(measure: Described, before: Value, change: float | None) -> SafeString:
    if before is None:
        return mark_safe('<p class="hub-change"><span>nothing before</span></p>')
    was = written(before, measure.unit)
    if change is None:  # from nothing to something is no percentage
        return format_html('<p class="hub-change"><span>before: {}</span></p>', was)
    arrow = "▲ " if change > 0 else "▼ "
    return format_html(
        '<p class="hub-change{}">{} <span>before: {}</span></p>',
        _mood(change, measure.better),
        arrow + change_written(change, measure.unit) if change else "no change",
        was,
    )


def _mood(change: float, better: int) -> str:
    if not change or not better:
        return ""
    return " hub-good" if (change > 0) == (better > 0) else " hub-bad"


def _beside(value: Value, before: Value) -> SafeString | str:
    """Both as bars of one scale, for the eye; nothing where one of them is not known."""
    if value is None or before is None or not (top := max(value, before)):
        return ""
    return format_html(
        '<div class="hub-beside-before" aria-hidden="true">{}</div>',
        format_html_join(
            "",
            '<span>{}</span><span class="hub-bar{}"><span style="width:{}%"></span></span>',
            (
                ("in this period", "", f"{100 * value / top:.2f}"),
                ("before", " hub-was", f"{100 * before / top:.2f}"),
            ),
        ),
    )
