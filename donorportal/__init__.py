"""The giving platform an organisation runs itself."""
