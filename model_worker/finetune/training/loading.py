"""A pack's writer, loaded to be trained."""

from __future__ import annotations

from model_worker.api.packs import Pack, TextWriting
from model_worker.finetune.training.trainable import Trainable


def load_trainable(pack: Pack) -> Trainable:
    """Load a pack's writer to be trained: seconds to minutes. Raises PackError."""
    if isinstance(pack.writer, TextWriting):
        from model_worker.finetune.training.text_trainable import TextTrainable

        return TextTrainable()
    from model_worker.finetune.training.multimodal_trainable import MultimodalTrainable

    return MultimodalTrainable(pack)
