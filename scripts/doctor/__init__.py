"""Says whether a wheel runs on the systems that its tags promise; images carry this room beside portable/."""
