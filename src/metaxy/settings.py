"""Settings: the part of a configuration that verbs need, as a frozen value that is an argument below the facade.

`metaxy.config.MetaxyConfig` is one that was read from files; `metaxy.context.settings` returns the active one.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from metaxy.environment import Variables, environment_values, metaxy_variables, variable_of
from metaxy.errors import InvalidConfigError
from metaxy.hashing import DEFAULT_TRUNCATION_LENGTH, MIN_TRUNCATION_LENGTH

OnMisfit: TypeAlias = Literal["warn", "error", "ignore"]
"""What a write does about rows whose columns are not as their feature class declares them."""
_PROJECT: Final = re.compile(r"[A-Za-z0-9_-]+")


def is_project_name(text: str) -> bool:
    """Return whether a project can be called like this.

    >>> is_project_name("my-project_2"), is_project_name("../x"), is_project_name("a__b")
    (True, False, False)
    """
    return "__" not in text and bool(_PROJECT.fullmatch(text))


class Settings(BaseModel):
    """How features are versioned, stored and synced.

    >>> Settings(project="vision").hash_truncation_length
    16
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    hash_truncation_length: int = Field(
        default=DEFAULT_TRUNCATION_LENGTH,
        ge=MIN_TRUNCATION_LENGTH,
        description="how many characters of hashes are kept",
    )
    enable_map_datatype: bool = Field(default=False, description="versions by field as Map instead of Struct")
    auto_create_tables: bool = Field(default=False, description="SQL stores create missing tables")
    project: str | None = Field(default=None, description="name of the current project")
    locked: bool | None = Field(default=None, description="another version of an external feature is an error")
    declared: OnMisfit = Field(default="warn", description="what writes do about columns that do not fit their class")
    sync: bool = Field(default=True, description="replace external features by those in the store when it is used")
    wait: float | None = Field(
        default=None,
        ge=0,
        description="seconds to wait for a file that another process locks, whatever `lock_timeout` a store has",
    )
    extra_features: Sequence[Any] = Field(default=(), description="more features to sync and lock")

    @field_validator("project")
    @classmethod
    def _check_project(cls, project: str | None) -> str | None:
        if project is not None and not is_project_name(project):
            raise ValueError(f"{project!r} is not a name of letters, digits, - and single _")
        return project

    @classmethod
    def from_environment(cls) -> "Settings":
        """Return what ``METAXY_*`` variables say, and defaults for the rest.

        Raises:
            InvalidConfigError: if a variable has a value that it cannot have.
        """
        return _from_variables(metaxy_variables())


@lru_cache(maxsize=1)
def _from_variables(variables: Variables) -> Settings:
    try:
        return Settings.model_validate(environment_values(variables, Settings.model_fields))
    except ValidationError as error:  # its own text has several lines
        problem = error.errors(include_url=False)[0]
        place = variable_of(problem["loc"]) or ".".join(map(str, problem["loc"]))
        raise InvalidConfigError(f"{place}: {problem['msg'].removeprefix('Value error, ')}") from None
