"""Detectors and their explanations: arrays in, arrays out, explicit state, no I/O and no clock."""
