"""What a feature is: keys, fields, dependencies, mappings, lineage, filters; nothing here knows another feature."""
