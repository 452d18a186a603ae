"""Builds the parts of a run from a checked config: networks, method, views, inputs and step."""
