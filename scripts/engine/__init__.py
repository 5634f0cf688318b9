"""Container engines: which one works here, and its commands as argument lists."""
