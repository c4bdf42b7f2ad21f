"""The books: double entry, append-only, balanced per currency."""
