"""Moving pins: what is new, whether it is genuine, one commit each."""
