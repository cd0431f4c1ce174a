"""Where the record survives: one small protocol, kept in memory or in SQLite."""
