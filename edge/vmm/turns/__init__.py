"""Whose turn it is: processor time by weight and quota, deadlines, what ends a turn from outside, what things cost.

Values without a clock, but for the watchdog.
"""
