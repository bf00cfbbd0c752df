"""The features as they were written first."""

import metaxy as mx


class Text(mx.BaseFeature, spec=mx.FeatureSpec(key="text", id_columns=["text"])):
    text: str


class Embedding(mx.BaseFeature, spec=mx.FeatureSpec(key="embedding", id_columns=["text"], deps=[Text])):
    text: str
    vec: list[float]


class Topic(mx.BaseFeature, spec=mx.FeatureSpec(key="topic", id_columns=["text"], deps=[Embedding])):
    text: str
    topic: str
