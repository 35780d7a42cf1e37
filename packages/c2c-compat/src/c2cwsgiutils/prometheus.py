"""Prometheus: the Pushgateway of era 3, the port of its own of era 6."""

from c2c_compat._include import including
from c2c_compat._prometheus import (
    MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS,
    MemoryMapCollector,
    MultiProcessCustomCollector,
    SerializedMetric,
    SerializedSample,
    build_metric_name,
    cleanup,
    serialize_collected_data,
    start,
    start_single_process,
)
from c2c_stats.prometheus import PushgatewayGroupPublisher

__all__ = [
    "MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS",
    "MemoryMapCollector",
    "MultiProcessCustomCollector",
    "PushgatewayGroupPublisher",
    "SerializedMetric",
    "SerializedSample",
    "build_metric_name",
    "cleanup",
    "includeme",
    "serialize_collected_data",
    "start",
    "start_single_process",
]

includeme = including("c2c_stats")
