"""What the bot counts, for Prometheus; served where KEEPSAKE_METRICS says."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, start_http_server

REGISTRY = CollectorRegistry()

MEMORIES_TO_REINDEX = Gauge(
    "keepsake_memories_to_move", "Memories that go by another pack's embeddings still.", registry=REGISTRY
)
REFERENCES_TO_EMBED = Gauge(
    "keepsake_references_to_embed", "Their references that lack the new embedding, last counted.", registry=REGISTRY
)


def serve_metrics(address: str) -> None:
    """Serve them at ``http://address/metrics``, in a thread, as long as the process lives; address is host:port.

    Raises OSError when nothing can listen there.
    """
    host, _, port = address.rpartition(":")
    start_http_server(int(port), host or "127.0.0.1", REGISTRY)
