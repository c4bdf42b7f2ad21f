"""A stand-in for Stripe and for the mail relay: one process, one SQLite file, no money."""
