"""Prove what the doctor says: wheels in the root file systems of real distributions."""
