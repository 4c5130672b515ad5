"""What PostgreSQL's planner knows of the tables."""

from __future__ import annotations

from django.db import connections, models, router


def analyze_unknown(*kinds: type[models.Model]) -> list[str]:
    """Have PostgreSQL look at those tables that it knows nothing of. Returns their names.

    It plans a join of such as if there was a row in each, and that takes hours where there are
    many. Autovacuum looks at them too, in its turn: of a restored database that may be late.
    """
    connection = connections[router.db_for_write(kinds[0])]
    if connection.vendor != "postgresql":
        return []
    tables = [kind._meta.db_table for kind in kinds]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM unnest(%s::text[]) AS name WHERE NOT EXISTS (SELECT 1 FROM pg_stats"
            " WHERE schemaname = ANY(current_schemas(false)) AND tablename = name)",
            [tables],
        )
        unknown = [name for (name,) in cursor.fetchall()]
        for name in unknown:
            cursor.execute(f"ANALYZE {connection.ops.quote_name(name)}")
    return unknown
