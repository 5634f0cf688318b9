"""Builds real projects in an image before it is published, and compares what their wheels need with the last time."""
