"""Signed trust bundles: whom to trust, how far and until when, for verifiers without a network."""
