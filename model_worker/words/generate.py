"""Interface draft (the body follows): the words of a pack, written a piece at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from model_worker.wire import GenerateRequest


class Writer:
    """Answers questions in batches. Made once (loads weights: seconds), used from one thread at a time."""

    def write(
        self, requests: Sequence[GenerateRequest], cancelled: Sequence[threading.Event]
    ) -> Iterator[list[tuple[int, str]]]:
        """Yield ``(index of the request, next piece of its answer)`` as pieces are ready.

        Pieces of one request joined in order are its answer. A request whose event is set is dropped
        within one step; every request that is not cancelled gets at least one non-empty piece. The
        iterator ends when all are answered; an empty list says only "still working".
        """
        raise NotImplementedError
