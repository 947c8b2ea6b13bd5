"""What is looked at without running it: the quick part by `make lint`, the rest by `make audit`. Never deployed."""
