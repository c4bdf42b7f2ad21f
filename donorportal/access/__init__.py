"""Who may enter: sign-in, staff, permissions and limits."""
