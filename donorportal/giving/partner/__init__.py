"""What donors do with their monthly gift: change, skip, pause, stop, and what they are told."""
