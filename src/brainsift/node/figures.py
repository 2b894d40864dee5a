"""Figures of a node, as Prometheus reads them; none of them names a patient, a study or a series."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from brainsift.node.journal import Journal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Figures(Collector):
    """Counts what comes in since the start, and reads the rest from the journal when it is asked.

    Args:
        journal: of the node.
        folder: of the node.
    """

    def __init__(self, journal: Journal, folder: Path) -> None:
        self._journal, self._folder, self._registry = journal, folder, CollectorRegistry()
        self._objects = Counter(
            "brainsift_node_objects",
            "Objects received, by door and outcome.",
            ("door", "outcome"),
            registry=self._registry,
        )
        self._registry.register(self)

    def count(self, door: str, outcome: str) -> None:
        """Counts an object."""
        self._objects.labels(door, outcome).inc()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields what the journal says."""
        series = GaugeMetricFamily("brainsift_node_series", "Series by state.", labels=["state"])
        for state, number in self._journal.counts().items():
            series.add_metric([state], number)
        yield series
        deliveries = GaugeMetricFamily("brainsift_node_deliveries", "Deliveries by state.", labels=["target", "state"])
        for (target, state), number in self._journal.delivery_counts().items():
            deliveries.add_metric([target, state], number)
        yield deliveries
        free = shutil.disk_usage(self._folder).free
        yield GaugeMetricFamily("brainsift_node_free_bytes", "Free space of the disk.", value=free)

    def text(self) -> bytes:
        """Returns all figures in the format of Prometheus."""
        return generate_latest(self._registry)
