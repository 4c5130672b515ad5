"""Questions that change nothing: is this right, and if not, where is it wrong?"""
