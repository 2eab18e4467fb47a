"""Whether a group has applied everything that a source has committed, by query."""
