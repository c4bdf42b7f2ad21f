"""Gifts once and monthly, from the form to the receipt."""
