"""Whose turn it is: processor time by weight and quota, deadlines, what ends a turn from outside, and what things cost."""
