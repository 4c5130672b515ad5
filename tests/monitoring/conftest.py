from __future__ import annotations

import pytest

from tests.factories import make_account_with_operator
from webhooks_project.accounts.models import Account


@pytest.fixture
def account() -> Account:
    return make_account_with_operator()
