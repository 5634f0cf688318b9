"""What needs nothing but the standard library; images carry it as it is."""
