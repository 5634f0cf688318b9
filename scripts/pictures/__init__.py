"""Pictures of the tables, as SVG: the same bytes each time."""
