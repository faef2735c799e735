"""Side by side with a peer: the same work on both registries in turn, medians and ratios."""
