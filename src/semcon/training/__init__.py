"""One training, end to end: images, network, loop, checkpoints, run folder."""
