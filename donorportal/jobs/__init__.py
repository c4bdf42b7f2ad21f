"""Work as rows, committed with its cause and claimed by lease."""
