"""What the shield holds off, and the switch for it."""
