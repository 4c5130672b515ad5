"""The hub's figures for Prometheus: what is counted and measured, and how that is given out."""
