"""ringfence: segregated accounts, margin and custody, with containment that can be proved."""
