"""The processes that hold machines, seen from the supervisor: started, spoken to, blamed for their end, replaced.

What the frames mean is the supervisor's business.
"""
