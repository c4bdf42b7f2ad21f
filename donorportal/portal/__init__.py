"""The pages a donor sees after signing in."""
