"""The files that builds compile: fetched before, verified, kept in docker/sources."""
