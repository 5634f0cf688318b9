"""Ends a build: an image describes itself in manifest.json, sbom.spdx.json and files.sha256."""
