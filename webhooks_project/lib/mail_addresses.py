"""What is an e-mail address that a header may hold."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import validate_email


def is_mail_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    # The validator lets control characters stand in a quoted part; no header shall hold them.
    return len(text) <= 254 and text.isprintable()
