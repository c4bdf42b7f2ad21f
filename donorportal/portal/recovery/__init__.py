"""The donor's page about a charge that the bank did not pay."""
