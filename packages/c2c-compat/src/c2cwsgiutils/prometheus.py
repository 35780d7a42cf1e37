"""The Pushgateway of Prometheus."""

from c2c_stats.prometheus import PushgatewayGroupPublisher

__all__ = ["PushgatewayGroupPublisher"]
