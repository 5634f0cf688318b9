"""What one build consists of, and what is expected of its result."""
