"""Monthly gifts in the back office, for a donor who is on the telephone."""
