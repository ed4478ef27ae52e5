"""What `make` calls: run the graph, check a recipe, print a summary, serve the UI."""
