"""What every step relies on: errors sorted by what to do next, and interruption."""
