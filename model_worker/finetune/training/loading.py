"""A pack's writer, loaded to be taught."""

from __future__ import annotations

from model_worker.api.packs import Pack, TextWriting
from model_worker.finetune.training.trainable import Trainable


def load_trainable(pack: Pack) -> Trainable:
    """Load a pack's writer to be taught: seconds to minutes. Raises PackError."""
    if isinstance(pack.writer, TextWriting):
        from model_worker.finetune.training.text_trainable import text_trainable

        return text_trainable()
    from model_worker.finetune.training.multimodal_trainable import multimodal_trainable

    return multimodal_trainable(pack)
