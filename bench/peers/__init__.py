"""What others do with the same work: the yardsticks that the benchmarks of this folder divide by."""
