"""The category service: owns the categories, publishes their changes."""
