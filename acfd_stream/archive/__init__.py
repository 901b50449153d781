"""Many videos, a night, and whatever goes wrong in it: every episode's results, once, whole and the same each time."""
