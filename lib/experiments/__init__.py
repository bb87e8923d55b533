"""Experiments that also run outside their notebook."""
