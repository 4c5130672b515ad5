"""A hub for webhooks: settings, accounts, and what every app stands on."""

__version__ = "0.1.0"
