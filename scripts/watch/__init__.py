"""Watches over what is published: which vulnerabilities are known of what the images hold."""
