"""Comparing our books with the payment service, and repairing what differs."""
