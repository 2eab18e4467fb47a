"""What operators look at: health as an object and over HTTP."""

from streambind.management.health import BindingHealth, Freshness, Health, HealthStatus, OutboxHealth, health
from streambind.management.health_app import health_app

__all__ = ["BindingHealth", "Freshness", "Health", "HealthStatus", "OutboxHealth", "health", "health_app"]
