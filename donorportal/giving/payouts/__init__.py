"""Payouts: what arrives at our bank, and which gifts, fees and refunds it is made of."""
