"""Loading a pack's models: seconds, in a thread of the server or of a command."""

from __future__ import annotations

from collections.abc import Callable

from model_worker.api.errors import UnknownEmbedderError
from model_worker.api.packs import OnePass, Pack, PackError, ServedWriting, TextWriting, load_pack, pack_that_makes
from model_worker.server.models import GenerationModel, Models, PerceptionModel

LoadModels = Callable[[], Models]
LoadFormer = Callable[[str], PerceptionModel]
"""From an embedding id to what makes such embeddings. Raises UnknownEmbedderError."""


def load_models(pack_name: str) -> Models:
    """Load a pack's models. Raises PackError and RuntimeError."""
    pack = load_pack(pack_name)
    return Models(
        pack=pack.name, perceiver=load_perceiver(pack), writer=load_writer(pack), verification=pack.verification
    )


def load_former(embedding_id: str) -> PerceptionModel:
    """Load what makes embeddings of this id. Raises UnknownEmbedderError."""
    pack = pack_that_makes(embedding_id)
    if pack is None:
        raise UnknownEmbedderError(embedding_id, detail=f"no pack here makes embeddings {embedding_id}")
    try:
        return load_perceiver(pack)
    except (PackError, RuntimeError) as error:
        raise UnknownEmbedderError(
            embedding_id, detail=f"the pack “{pack.name}”, which makes them, can't be loaded: {error}"
        ) from error


def load_writer(pack: Pack) -> GenerationModel:
    """Load what writes in a pack. Raises PackError and RuntimeError."""
    if isinstance(pack.writer, ServedWriting):
        from model_worker.generation.remote import ServedWriter

        return ServedWriter(pack.writer)
    if not isinstance(pack.writer, TextWriting):
        from model_worker.generation.multimodal.writer import ImageTextWriter

        return ImageTextWriter(pack.writer)
    from model_worker.generation.starter.writer import Writer

    return Writer()


def load_perceiver(pack: Pack) -> PerceptionModel:
    """Load what perceives in a pack. Raises PackError and RuntimeError."""
    if isinstance(pack.embedder, OnePass):
        from model_worker.perception.single_pass import Perceiver

        return Perceiver(pack)
    from model_worker.perception.crop_based import CropPerceiver

    return CropPerceiver(pack)
