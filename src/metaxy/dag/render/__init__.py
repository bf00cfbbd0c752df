"""Pictures of a graph or of a comparison, as text: each renderer turns one view into one format."""
