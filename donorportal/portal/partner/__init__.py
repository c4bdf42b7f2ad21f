"""A donor's pages about the monthly gift."""
