"""Fleet settings on one edge: which version is meant for it, how it is with one beside without, and when it goes back.

Which and when are pure decisions; `following` carries them out, and `memory` has them outlive the edge.
"""
