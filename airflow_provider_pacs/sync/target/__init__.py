"""Where canonical rows go: the port that the steps of a run see, and one folder per kind of target."""
