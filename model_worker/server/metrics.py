"""What the worker counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Counters of one worker, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "keepsake_requests", "Requests answered.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "keepsake_request_seconds",
            "How long requests took, waiting included.",
            ("route",),
            buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
            registry=self._registry,
        )
        self._cached = Gauge("keepsake_pictures_cached", "Pictures in the cache.", registry=self._registry)
        self._bytes = Gauge("keepsake_pictures_cached_bytes", "Their pixels.", registry=self._registry)
        self._encoded = Gauge(
            "keepsake_pictures_encoded",
            "Pictures that the writer was shown: encoded anew, or kept from before.",
            ("how",),
            registry=self._registry,
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def show_cache(self, pictures: int, size: int) -> None:
        """Say how much is in the cache now."""
        self._cached.set(pictures)
        self._bytes.set(size)

    def show_features(self, hits: int, misses: int) -> None:
        """Say how many pictures the writer had encoded before, and how many it encoded."""
        self._encoded.labels("kept").set(hits)
        self._encoded.labels("new").set(misses)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)
