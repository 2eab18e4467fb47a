"""What operators look at: health as an object and over HTTP."""

from streambind.management.health import BindingHealth, Health, HealthStatus, OutboxHealth, health
from streambind.management.health_app import health_app

__all__ = ["BindingHealth", "Health", "HealthStatus", "OutboxHealth", "health", "health_app"]
