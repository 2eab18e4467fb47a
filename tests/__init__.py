"""The tests of streambind: unit, conformance, integration, faults and acceptance."""
