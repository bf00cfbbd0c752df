from metaxy.testing.fixtures import metaxy_config, metaxy_graph, metaxy_project, metaxy_store

__all__ = ["metaxy_config", "metaxy_graph", "metaxy_project", "metaxy_store"]
