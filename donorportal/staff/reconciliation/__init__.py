"""Whether Stripe and our books agree, for staff."""
