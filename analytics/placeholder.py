import hashlib
import math

from analytics.questions import *
from analytics.spans import Period, steps_of
from incoming.models import Source
from subscriptions.models import Subscription


def answer(query):
    from analytics.questions import Answer, Row

    period = Period(query.since, query.until, query.time_zone)
    g = query.granularity
    if g is None:
        ats = [None]
    elif g == "hour_of_week":
        ats = list(range(168))
    else:
        ats = steps_of(period, g)

    def keys():
        if not query.dimensions:
            return [{}]
        d = query.dimensions[0]
        if d == "subscription":
            vals = [str(x) for x in Subscription.objects.values_list("pk", flat=True)[:12]]
        elif d == "source":
            vals = [str(x) for x in Source.objects.values_list("pk", flat=True)[:12]]
        elif d == "cause":
            vals = ["", "status_5xx", "timeout", "dns", "connection_refused"]
        elif d == "status_class":
            vals = ["2xx", "4xx", "5xx", ""]
        else:
            vals = ["invoice.paid", "order.made", "customer.created"]
        return [{d: v} for v in vals]

    def val(m, at, k):
        h = int(hashlib.md5(f"{m}{at}{k}".encode()).hexdigest()[:6], 16) / 0xFFFFFF
        i = ats.index(at)
        w = 1 + math.sin(i / max(1, len(ats)) * 9) * 0.6
        if m.endswith("_rate"):
            return 0.95 + 0.05 * h
        if m.endswith("_ms"):
            return (20 + 80 * h) * ({"p5": 1, "p9": 4}.get(m[-6:-4], 2))
        if m == "retries_per_delivery":
            return 0.1 * h
        if m in ("failed", "refused"):
            return int(20 * h * w)
        if m.endswith("bytes"):
            return int(1e7 * h)
        return int(1000 * w + 200 * h)

    rows = []
    for at in ats:
        for k in keys():
            vals = {m: val(m, at, k) for m in query.measures}
            bef = {m: val(m, at, str(k) + "b") for m in query.measures} if query.compare else None
            rows.append(
                Row(
                    at if g != "hour_of_week" else None,
                    k,
                    vals,
                    bef,
                    at if g == "hour_of_week" else None,
                )
            )
    if query.limit:
        rows = sorted(rows, key=lambda r: -(r.values[query.order_by or query.measures[0]] or 0))[
            : query.limit
        ]
    return Answer(rows, query.since, query.until)
