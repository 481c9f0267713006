"""External corrosion of piping: physics, statistics, likelihood, plan. Arrays in, arrays out."""
