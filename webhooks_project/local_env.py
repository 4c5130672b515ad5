"""Makes `var/local.env` for `make run`: the keys of this machine's own hub, made once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from webhooks_project.lib.keyring import new_key


def ensure(var_dir: Path) -> Path:
    """Write `local.env` (mode 0600) where there is none. Returns its path."""
    path = var_dir / "local.env"
    var_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"SECRET_KEY={secrets.token_urlsafe(50)}\n")
            file.write(f"WEBHOOKS_ENCRYPTION_KEYS={new_key('k1')}\n")
            # The demo's receiver is on this machine; nothing else here is reachable by webhook.
            file.write("WEBHOOKS_ALLOWED_NETWORKS=127.0.0.1/32\n")
    return path


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    ensure(Path(os.environ.get("HUB_VAR_DIR", root / "var")))
