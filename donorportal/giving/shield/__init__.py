"""Keeping the giving form open for donors and tedious for those who test stolen cards."""
