"""The people and organisations that give."""
