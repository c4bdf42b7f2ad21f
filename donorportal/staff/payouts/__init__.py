"""The room of payouts: what the bank got, what it is made of, and the journal."""
