"""Who may hear from us, about what, and how we know."""
