"""Charges that a bank did not pay: what follows, what the donor is told, and how it ends."""
