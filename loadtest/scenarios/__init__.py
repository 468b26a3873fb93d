"""What is measured, a scenario each: the demonstration, the contest, fairness, scale, the soak."""
