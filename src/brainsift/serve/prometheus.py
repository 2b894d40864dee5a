"""Counters of the service, as Prometheus reads them."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from brainsift.inference.decision import Prediction
from brainsift.inference.predictor import BATCH

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "brainsift_requests", "Requests with a reply.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "brainsift_request_seconds", "Time to the reply.", ("route",), buckets=_SECONDS, registry=registry
        )
        self._refused = Counter(
            "brainsift_refused", "Requests refused with 429: too much is waiting.", registry=registry
        )
        self._not_kept = Counter(
            "brainsift_history_failures", "Jobs that the history did not keep, or only in part.", registry=registry
        )
        self._slices = Counter("brainsift_slices", "Slices with a prediction.", ("status",), registry=registry)
        self._batches = Histogram(
            "brainsift_batch_slices", "Slices per batch.", buckets=range(1, BATCH + 1), registry=registry
        )

    def watch(self, name: str, words: str, value: Callable[[], float]) -> None:
        """Adds a gauge."""
        Gauge(f"brainsift_{name}", words, registry=self._registry).set_function(value)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if status == 429:
            self._refused.inc()

    def scored(self, predictions: Sequence[Prediction]) -> None:
        """Counts the predictions of a batch."""
        self._batches.observe(len(predictions))
        for prediction in predictions:
            self._slices.labels(prediction.status).inc()

    def not_kept(self) -> None:
        """Counts a job that the history did not keep."""
        self._not_kept.inc()

    def text(self) -> bytes:
        """Returns all counters in the format of Prometheus."""
        return generate_latest(self._registry)
