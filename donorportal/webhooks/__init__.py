"""The door at which Stripe tells us that something happened."""
