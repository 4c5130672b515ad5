"""The hub's figures for Prometheus: what is counted, what is measured, and how both are given out."""
