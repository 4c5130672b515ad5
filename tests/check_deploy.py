"""`check --deploy` with the settings of a production node."""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

ENVIRONMENT = {
    "HUB_ENV": "production",
    "DJANGO_SETTINGS_MODULE": "webhooks_project.settings",
    "SECRET_KEY": "one-of-many-characters-for-the-check-alone-0123456789-abcdefghijk",
    "WEBHOOKS_ENCRYPTION_KEYS": "c1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "PUBLIC_URL": "https://hooks.example.com",
    "ALLOWED_HOSTS": "hooks.example.com",
    "EMAIL_URL": "smtp+tls://hub:password@mail.example.com:587",
}

if __name__ == "__main__":
    os.environ |= ENVIRONMENT
    os.chdir(Path(__file__).resolve().parent.parent)
    sys.argv = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    execute_from_command_line(sys.argv)
