"""`make bench`: what the hub costs over the least that could do the same work, on this machine.

Every ratio is taken between measurements of one run that alternate, so that a busy machine slows
both sides alike. `run.py` is the table of contents.
"""
