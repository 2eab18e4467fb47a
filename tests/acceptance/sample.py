"""The sample's two services, on a topic and a group that no other test uses."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from tests.acceptance.services import ServiceProcess, Services
from tests.acceptance.stage import Stage


@dataclass(frozen=True)
class Sample:
    """Both services, not started yet, and the topic between them."""

    category: ServiceProcess
    lecture: ServiceProcess
    topic: str
    group: str

    @classmethod
    def on(cls, stage: Stage, services: Services) -> Sample:
        """Configured through the environment, in Spring's spelling, as an operator would."""
        topic = f"categoryChanged-{uuid.uuid4().hex[:8]}"
        group = f"CGR-lecture-{topic}"
        bindings = "SPRING_CLOUD_STREAM_BINDINGS"
        outgoing = {
            "KAFKA_BROKERS": stage.brokers,
            "DATABASE_URL": stage.new_database(),
            f"{bindings}_OUTCATEGORYCHANGED_DESTINATION": topic,
        }
        incoming = {
            "KAFKA_BROKERS": stage.brokers,
            "DATABASE_URL": stage.new_database(),
            f"{bindings}_INCATEGORYCHANGED_DESTINATION": topic,
            f"{bindings}_INCATEGORYCHANGED_GROUP": group,
        }
        category = services.web("category", "sample_app.category.app:api", outgoing)
        lecture = services.web("lecture", "sample_app.lecture.app:api", incoming)
        return cls(category, lecture, topic, group)
