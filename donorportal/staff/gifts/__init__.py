"""The room of gifts: finding one, what happened to it, sending it back, and what needs a look."""
