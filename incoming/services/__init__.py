"""What is done with sources, their routes and secrets, and receipts."""

from incoming.services.receipts import (
    drop_quarantined,
    release_quarantined,
    reprocess_receipt,
    rerun,
)
from incoming.services.routes import (
    ROUTE_FIELDS,
    add_route,
    change_route,
    delete_route,
    reorder_routes,
    set_route_enabled,
)
from incoming.services.secrets import (
    ROTATION_GRACE,
    NewSource,
    has_showable_secret,
    learn_secret,
    rotate_source_secret,
    secret_options_set,
    secrets_expire_at,
    show_learned_secret,
    shown_options,
)
from incoming.services.sources import (
    CHANGEABLE,
    change_source,
    create_source,
    rotate_token,
    set_source_enabled,
)

__all__ = [
    "CHANGEABLE",
    "ROTATION_GRACE",
    "ROUTE_FIELDS",
    "NewSource",
    "add_route",
    "change_route",
    "change_source",
    "create_source",
    "delete_route",
    "drop_quarantined",
    "has_showable_secret",
    "learn_secret",
    "release_quarantined",
    "reorder_routes",
    "reprocess_receipt",
    "rerun",
    "rotate_source_secret",
    "rotate_token",
    "secret_options_set",
    "secrets_expire_at",
    "set_route_enabled",
    "set_source_enabled",
    "show_learned_secret",
    "shown_options",
]
