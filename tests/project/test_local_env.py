from __future__ import annotations

import stat
from pathlib import Path

from webhooks_project import local_env
from webhooks_project.lib.keyring import Keyring


def test_makes_keys_that_only_their_owner_can_read(tmp_path: Path) -> None:
    path = local_env.ensure(tmp_path / "var")
    assert path == tmp_path / "var" / "local.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert len(values["SECRET_KEY"]) >= 50
    assert Keyring.parse(values["WEBHOOKS_ENCRYPTION_KEYS"]).current == "k1"
    assert values["WEBHOOKS_ALLOWED_NETWORKS"] == "127.0.0.1/32"


def test_keeps_the_keys_that_are_there(tmp_path: Path) -> None:
    first = local_env.ensure(tmp_path).read_text()
    assert local_env.ensure(tmp_path).read_text() == first
    (tmp_path / "local.env").write_text("MINE=1\n")
    assert local_env.ensure(tmp_path).read_text() == "MINE=1\n"


def test_every_machine_has_its_own(tmp_path: Path) -> None:
    texts = {local_env.ensure(tmp_path / str(n)).read_text() for n in range(3)}
    assert len(texts) == 3
