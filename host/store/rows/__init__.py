"""The store of one host: SQLite, on disk or in memory (docs/store.md)."""
