"""What takes part. A module imports only what its environment has (`benchmarks/environments.py`) and the standard
library; its functions take a course and return figures by name."""
