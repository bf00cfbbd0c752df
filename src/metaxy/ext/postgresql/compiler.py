"""What Ibis is taught about PostgreSQL."""

from typing import Any

import ibis.backends.sql.compilers as compilers
import ibis.expr.datatypes as dt
from ibis.backends.postgres import Backend

from metaxy.ext.ibis.fetching import Fetching


class _Compiler(compilers.PostgresCompiler):  # type: ignore[misc] # Ibis has no types
    __slots__ = ()

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:  # noqa: N802 - as Ibis calls it
        if op.arg.dtype.is_boolean() and to.is_integer():
            arg = self.cast(arg, dt.int32)  # the only integers that it casts truth to
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_StructField(self, op: Any, *, arg: Any, field: str) -> Any:  # noqa: N802, ARG002
        return self.f.jsonb_extract_path_text(arg, field)


class PostgreSQLBackend(Fetching, Backend):  # type: ignore[misc] # Ibis has no types
    """The Ibis backend of a store."""

    compiler = _Compiler()
