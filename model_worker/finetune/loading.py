"""A pack's writer, loaded to be taught."""

from __future__ import annotations

from model_worker.finetune.student import Student
from model_worker.packs import Pack, TextWriting


def load_student(pack: Pack) -> Student:
    """Load a pack's writer to be taught: seconds to minutes. Raises PackProblem."""
    if isinstance(pack.writing, TextWriting):
        from model_worker.finetune.told_student import told_student

        return told_student()
    from model_worker.finetune.looking_student import looking_student

    return looking_student(pack)
