"""A pack's writer, loaded to be taught."""

from __future__ import annotations

from model_worker.api.packs import Pack, TextWriting
from model_worker.finetune.training.trainable import Student


def load_student(pack: Pack) -> Student:
    """Load a pack's writer to be taught: seconds to minutes. Raises PackProblem."""
    if isinstance(pack.writing, TextWriting):
        from model_worker.finetune.training.text_trainable import told_student

        return told_student()
    from model_worker.finetune.training.multimodal_trainable import looking_student

    return looking_student(pack)
