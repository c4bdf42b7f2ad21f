"""Counting attempts in windows of time, so that there can be limits."""
