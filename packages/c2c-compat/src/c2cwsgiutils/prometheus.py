"""Prometheus: the Pushgateway of era 3, the port of its own of era 6."""

from c2c_compat._daemon import cleanup
from c2c_compat._include import including
from c2c_compat._prometheus import (
    MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS,
    MemoryInfoCollector,
    MemoryMapCollector,
    MultiProcessCustomCollector,
    ResourceCollector,
    SerializedMetric,
    SerializedSample,
    build_metric_name,
    serialize_collected_data,
    start,
    start_single_process,
)
from c2c_stats.prometheus import PushgatewayGroupPublisher

__all__ = [
    "MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS",
    "MemoryInfoCollector",
    "MemoryMapCollector",
    "MultiProcessCustomCollector",
    "PushgatewayGroupPublisher",
    "ResourceCollector",
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
