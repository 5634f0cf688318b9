"""Text that follows from the tables."""
