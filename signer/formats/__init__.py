"""One emitter for each signature format. All write baseline B, and T when given a time-stamping service."""
