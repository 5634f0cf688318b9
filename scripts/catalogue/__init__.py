"""The tables of docker/ as typed objects under their laws, and the checkout they lie in."""
