"""Figures as values, as tables, as pictures and as a page; and what they are compared with."""
