"""What is wrong with an adapter. Imports no torch: who serves adapters has to know it before there are models."""

from __future__ import annotations


class AdapterError(Exception):
    """A file that is no adapter, is damaged, or is for another model."""
