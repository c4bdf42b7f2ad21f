"""Money of a gift that goes back: refunds, disputes, bank returns, warnings of fraud."""
