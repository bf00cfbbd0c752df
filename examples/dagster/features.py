"""Recorded calls: how loud each one is, and how much each speaker has been heard."""

from datetime import date

from pydantic import Field

import metaxy as mx

__metaxy_project__ = "calls"


class Recording(mx.BaseFeature, spec=mx.FeatureSpec(key="recording", id_columns=["call"], fields=["sound"])):
    """A sound file. Nothing is computed: its version is the hash of what is in it."""

    call: str
    day: date
    speaker: str
    sound: str


class Loudness(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="recording/loudness",
        id_columns=["call"],
        deps=[mx.FeatureDep(feature=Recording, select=["day", "speaker", "sound"])],
        fields=[mx.FieldSpec(key="level", code_version="1")],
    ),
):
    """How long a call is, and how loud: change the code version, and all calls are measured again."""

    call: str
    day: date
    speaker: str
    seconds: float = Field(description="how long it is")
    peak: int = Field(description="how far it swings, at most 32,767")


class Speaker(
    mx.BaseFeature,
    spec=mx.FeatureSpec(
        key="speaker",
        id_columns=["speaker"],
        deps=[
            mx.FeatureDep(
                feature=Loudness,
                select=["seconds", "peak"],
                lineage=mx.LineageRelationship.aggregation(on=["speaker"]),
            )
        ],
        fields=["summary"],
    ),
):
    """All calls of a speaker: a new call makes this speaker stale, and no other."""

    speaker: str
    calls: int = Field(description="how many there are")
    seconds: float = Field(description="how long they are together")
    loudest: int = Field(description="how far the loudest swings")
