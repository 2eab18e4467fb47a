"""The lecture service: keeps a read model of the categories."""
