"""The outbox, rendering and the transport that hands mail to a relay."""
