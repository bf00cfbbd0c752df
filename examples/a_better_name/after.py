"""The same features with better names: two keys moved into a namespace, and a column is called what it is."""

import metaxy as mx


class Text(mx.BaseFeature, spec=mx.FeatureSpec(key="docs/text", id_columns=["text"], renamed_from="text")):
    text: str


class Embedding(
    mx.BaseFeature,
    spec=mx.FeatureSpec(key="docs/embedding", id_columns=["text"], deps=[Text], renamed_from="embedding"),
):
    text: str
    vector: list[float]


class Topic(mx.BaseFeature, spec=mx.FeatureSpec(key="topic", id_columns=["text"], deps=[Embedding])):
    text: str
    topic: str
