"""The HTML report of training runs: its contents, feature map, view preview and page."""
