"""The report page of runs: what it shows, the map of features, the views, the page itself."""
