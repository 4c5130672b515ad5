"""Django's SQLite backend, which turns each statement's text into SQLite's once."""
