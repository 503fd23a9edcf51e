"""The figures that the README gives, and the floors that they stand on. `make bench` runs all of it."""
