"""Money moving through a payment service, in our own words."""
