"""What tests ask the database about its own tables."""

from __future__ import annotations

OWNED_TABLES = """
    SELECT relid::regclass::text FROM pg_stat_user_tables
     WHERE relname NOT IN ('schema_migration', 'queue_migration')
"""
