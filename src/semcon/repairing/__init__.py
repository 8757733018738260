"""One repair, end to end: splits, wishes, the mending, run folder."""
