"""A model field whose text is sealed in the database and opened only where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

from webhooks_project.lib.keyring import Keyring


def keyring() -> Keyring:
    """The key ring of this process, from the settings."""
    ring: Keyring = settings.ENCRYPTION_KEYRING
    return ring


class Ciphertext(str):
    """A stored value that has not been opened. Printing it shows nothing secret."""

    __slots__ = ()


class _Opened:
    """Gives the plaintext on access. The row itself keeps the ciphertext, to be saved unchanged."""

    def __init__(self, field: EncryptedTextField) -> None:
        self.field = field

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Any:
        if instance is None:
            return self
        name = self.field.attname
        if name not in instance.__dict__:
            instance.refresh_from_db(fields=[name])
        value = instance.__dict__[name]
        if isinstance(value, Ciphertext):
            return keyring().decrypt(value, place=self.field.place(instance))
        return value

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField


class EncryptedTextField(_TextField):
    """Text sealed with AES-256-GCM for `table:pk:field`; see lib/keyring.py.

    The row's key must be made by us before the row is saved (a UUID), since the seal is bound to
    it. An empty text stays as it is. Queries see the ciphertext, so the field cannot be filtered
    on; `update()` with a plain text raises TypeError, because there is no row to bind the seal to.
    """

    def contribute_to_class(
        self, cls: type[models.Model], name: str, private_only: bool = False
    ) -> None:
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, self.attname, _Opened(self))

    def place(self, instance: models.Model) -> str:
        """Where a value of this row belongs: `table:pk:field`."""
        if instance.pk is None:
            raise TypeError("a row with a sealed field needs its key before it is saved")
        return f"{instance._meta.db_table}:{instance.pk}:{self.attname}"

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return Ciphertext(value) if value else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = model_instance.__dict__.get(self.attname)
        if not value or isinstance(value, Ciphertext):
            return value
        return Ciphertext(keyring().encrypt(value, place=self.place(model_instance)))

    def get_prep_value(self, value: Any) -> Any:
        if not value or isinstance(value, Ciphertext):
            return None if value is None else str(value)
        raise TypeError(f"{self.name} is sealed row by row: save the row instead")

    def value_to_string(self, obj: models.Model) -> str:
        return str(obj.__dict__.get(self.attname) or "")
