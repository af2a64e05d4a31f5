"""What is wrong with an adapter. Imports no torch: who serves adapters has to know it before there are models."""

from __future__ import annotations


class AdapterProblem(Exception):  # noqa: N818 (it says what is the matter)
    """A file that is no adapter, is damaged, or is for another model."""
