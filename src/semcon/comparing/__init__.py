"""Run folders side by side: what must be alike, paired differences, gates on them; no torch."""
