from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import models
from rich.progress import Progress

from webhooks_project.fields import Ciphertext, EncryptedTextField, keyring
from webhooks_project.lib.keyring import VERSION, CannotDecrypt


class Command(BaseCommand):
    help = "Seal every secret anew under the first key of WEBHOOKS_ENCRYPTION_KEYS."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch", type=int, default=500, help="Rows read together.")
        parser.add_argument("--limit", type=int, help="Stop after so many; run again to go on.")

    def handle(self, *args: Any, **options: Any) -> None:
        left = unreadable = done = 0
        for model, field in encrypted_fields():
            stale = _stale(model, field)
            with Progress(disable=not self.stdout.isatty()) as progress:
                task = progress.add_task(f"{model._meta.label}.{field.name}", total=stale.count())
                for row in stale.iterator(chunk_size=options["batch"]):
                    if options["limit"] is not None and done >= options["limit"]:
                        break
                    try:
                        done += reseal(row, field)
                    except CannotDecrypt as error:
                        unreadable += 1
                        self.stderr.write(str(error))
                    progress.advance(task)
            left += _stale(model, field).count()
        self.stdout.write(f"{done} secrets sealed anew, {left} left under old keys")
        if unreadable:
            raise CommandError(f"{unreadable} secrets cannot be opened with the keys given")


def encrypted_fields() -> Iterator[tuple[type[models.Model], EncryptedTextField]]:
    """Every sealed field of every model."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedTextField):
                yield model, field


def reseal(row: models.Model, field: EncryptedTextField) -> int:
    """Seal one row's value under the current key. Returns 1, or 0 where it has changed meanwhile.

    Raises CannotDecrypt.
    """
    old = row.__dict__[field.attname]
    ring = keyring()
    place = field.place(row)
    new = Ciphertext(ring.encrypt(ring.decrypt(old, place=place), place=place))
    # Only where the value is still the one that was read: a rotation in between has won.
    return (
        type(row)
        ._default_manager.filter(pk=row.pk, **{field.attname: old})
        .update(**{field.attname: new})
    )


def _stale(model: type[models.Model], field: EncryptedTextField) -> models.QuerySet[Any]:
    current = f"{VERSION}.{keyring().current}."
    return (
        model._default_manager.exclude(**{f"{field.attname}__startswith": current})
        .exclude(**{f"{field.attname}__isnull": True})
        .exclude(**{field.attname: ""})
        .order_by("pk")
    )
