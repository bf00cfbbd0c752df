"""Features as data: keys, fields, dependencies, mappings, lineage, filters; nothing here knows another feature."""
