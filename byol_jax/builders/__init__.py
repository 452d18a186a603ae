"""From a checked config to the parts of a run: networks, method, views, inputs, the step."""
