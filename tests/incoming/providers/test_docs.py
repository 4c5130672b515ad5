"""The documentation says what the declarations say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from incoming.providers import PROVIDERS
from incoming.providers.describe import describe

# Options that sound secret and are none.
NOT_SECRET = {("generic-hmac", "key"), ("generic-hmac", "version_key")}


def test_every_page_is_current() -> None:
    call_command("write_provider_docs", check=True)


def test_a_page_that_is_left_over_or_stale_is_found_and_mended(tmp_path: Path) -> None:
    call_command("write_provider_docs", directory=tmp_path)
    assert len(list(tmp_path.iterdir())) == len(PROVIDERS) + 1
    (tmp_path / "geocities.md").write_text("# Geocities")
    (tmp_path / "github.md").write_text("stale")
    with pytest.raises(CommandError, match=r"^not current: geocities\.md, github\.md$"):
        call_command("write_provider_docs", directory=tmp_path, check=True)
    call_command("write_provider_docs", directory=tmp_path)
    call_command("write_provider_docs", directory=tmp_path, check=True)
    assert (tmp_path / "github.md").read_text() == describe(PROVIDERS["github"])


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_page_says_what_to_do_and_how_the_call_is_proved(name: str) -> None:
    page = describe(PROVIDERS[name])
    assert page.startswith(f"# {PROVIDERS[name].label}\n\nProvider `{name}`.\n\n")
    assert "\n- Signature: " in page
    assert "\n- Methods: " in page
    assert page.count("`") % 2 == 0
    assert "None" not in page


@pytest.mark.parametrize("name", PROVIDERS)
def test_an_option_that_is_a_secret_is_declared_as_one(name: str) -> None:
    provider = PROVIDERS[name]
    sounding = {
        option for option in provider.options if re.search("token|secret|passw|key", option)
    }
    sounding -= {option for owner, option in NOT_SECRET if owner == name}
    assert provider.secret_options == sounding
    assert provider.secret_options <= provider.options.keys()
