"""What evidence is made of: the units of a class, and those that made one decision."""
