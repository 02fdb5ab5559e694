"""The submitted model: from its configuration and datasets to a graph, its weights, a new model."""
