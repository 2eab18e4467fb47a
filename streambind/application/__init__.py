"""The only place where parts are wired: configuration, declarations, database, broker."""

from streambind.application.stream_application import StreamApplication

__all__ = ["StreamApplication"]
