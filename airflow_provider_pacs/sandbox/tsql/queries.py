"""Translates a query to DuckDB, with the declared T-SQL types of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from airflow_provider_pacs.sandbox.catalog import sqltypes
from airflow_provider_pacs.sandbox.catalog.tables import Source, quoted
from airflow_provider_pacs.sandbox.model import Column, SqlError
from airflow_provider_pacs.sandbox.tsql.derived_columns import as_types, inline, renamed
from airflow_provider_pacs.sandbox.tsql.dialect import untranslated
from airflow_provider_pacs.sandbox.tsql.environment import Compiled, Environment
from airflow_provider_pacs.sandbox.tsql.expressions import Expressions
from airflow_provider_pacs.sandbox.tsql.grouping import distinct, grouped, union
from airflow_provider_pacs.sandbox.tsql.nodes import direction
from airflow_provider_pacs.sandbox.tsql.scope import UNKNOWN, Rows, Scope

_SETS: dict[type[exp.Expression], str] = {
    exp.Union: "UNION",
    exp.Except: "EXCEPT",
    exp.Intersect: "INTERSECT",
}
_SELECT_PARTS = frozenset(
    "expressions from_ joins where group having order limit offset distinct with_ options kind hint "
    "operation_modifiers".split()
)


class Queries:
    """Translates queries. `ctes` are the common table expressions in force, by lower-case name."""

    def __init__(self, env: Environment, ctes: dict[str, Sequence[Column]] | None = None) -> None:
        self.env = env
        self.ctes = dict(ctes or {})

    def __call__(self, node: exp.Expression, scope: Scope | None = None) -> Compiled:
        """A SELECT, a set operation or a parenthesised one.

        Raises:
            SqlError: 102 for what is not translated, 207, 208 and others as SQL Server has them.
        """
        with_ = node.args.get("with_")
        if with_ is not None:
            inner = Queries(self.env, self.ctes)
            prefix = inner.common_tables(with_)
            body = inner._query(node, scope)
            return Compiled(f"WITH RECURSIVE {prefix} {body.sql}", body.columns)
        return self._query(node, scope)

    def _query(self, node: exp.Expression, scope: Scope | None) -> Compiled:
        if isinstance(node, exp.Select):
            return self._select(node, scope)
        if type(node) in _SETS:
            return self._set_operation(node, scope)
        if isinstance(node, exp.Subquery):
            return self(node.this, scope)
        raise untranslated(node.sql("tsql"), f"no translation for {type(node).__name__}")

    def common_tables(self, with_: exp.Expression) -> str:
        """The text of WITH's list; afterwards the names are in force."""
        texts = []
        for cte in with_.expressions:
            alias = cte.args["alias"]
            names = [c.name for c in alias.args.get("columns") or []]
            if isinstance(cte.this, exp.Union) and any(
                t.name.lower() == alias.name.lower() for t in cte.this.expression.find_all(exp.Table)
            ):
                anchor = self(cte.this.this)
                self.ctes[alias.name.lower()] = renamed(anchor.columns, names)
            result = self(cte.this)
            columns = renamed(result.columns, names)
            if any(not c.name for c in columns):
                raise SqlError(
                    8155,
                    f"No column name was specified for column {[c.name for c in columns].index('') + 1} of "
                    f"'{alias.name}'.",
                )
            self.ctes[alias.name.lower()] = columns
            texts.append(
                f"{quoted(alias.name)}({', '.join(quoted(c.name) for c in columns)}) AS ({result.sql})"
            )
        return ", ".join(texts)

    def _select(self, node: exp.Select, outer: Scope | None) -> Compiled:
        for part, content in node.args.items():
            if content and part not in _SELECT_PARTS:
                raise untranslated(node.sql("tsql"), f"SELECT ... {part.strip('_').upper()}")
        scope = Scope(parent=outer)
        from_ = node.args.get("from_")
        tail = " FROM " + self._source(from_.this, scope) if from_ is not None else ""
        for join in node.args.get("joins") or []:
            tail += self._join(join, scope)
        e = Expressions(self.env, scope, self)
        if node.args.get("where") is not None:
            tail += " WHERE " + e.predicate(node.args["where"].this)
        if node.args.get("group") is not None:
            listed, e = grouped(node.args["group"], e)
            tail += " GROUP BY " + listed
        if node.args.get("having") is not None:
            tail += " HAVING " + e.predicate(node.args["having"].this)
        outputs = self._projections(node, e)
        columns = [c for c, _ in outputs]
        texts = ", ".join(
            f"{text} AS {quoted(c.name or f'column{n}')}" for n, (c, text) in enumerate(outputs, start=1)
        )
        options = node.args["limit"].args.get("limit_options") if node.args.get("limit") is not None else None
        ties = options is not None and bool(options.args.get("with_ties"))
        order = self._order(node, e, columns, [text for _, text in outputs] if ties else None)
        limit = self._limit(node, e, order)
        once = distinct([text for _, text in outputs], columns) if node.args.get("distinct") else ""
        return Compiled(f"SELECT {once}{texts}{tail}{limit}", columns)

    def _projections(self, node: exp.Select, e: Expressions) -> list[tuple[Column, str]]:
        outputs: list[tuple[Column, str]] = []
        for item in node.expressions:
            if isinstance(item, exp.Star) or (
                isinstance(item, exp.Column) and isinstance(item.this, exp.Star)
            ):
                table = (
                    item.args["table"].name if isinstance(item, exp.Column) and item.args.get("table") else ""
                )
                outputs += [(replace(c, nullable=t.nullable), t.sql) for c, t in e.scope.all_columns(table)]
                continue
            value = e.value(item.this if isinstance(item, exp.Alias) else item)
            name = (
                item.alias
                if isinstance(item, exp.Alias)
                else item.name
                if isinstance(item, exp.Column)
                else ""
            )
            text = f"CAST(NULL AS {sqltypes.duck(value.type)})" if value.is_null else value.sql
            outputs.append((Column(name, value.type, value.nullable), text))
        return outputs

    def _order(
        self,
        node: exp.Expression,
        e: Expressions,
        columns: Sequence[Column],
        texts: Sequence[str] | None = None,
    ) -> str:
        """ORDER BY; an item of the select list is named by its place, or by its text where `texts` are given
        (a window can't name places).
        """
        order = node.args.get("order")
        if order is None:
            return ""
        names = [c.name.lower() for c in columns]
        parts = []
        for item in order.expressions:
            key = item.this
            if isinstance(key, exp.Literal) and not key.is_string:
                if not 1 <= int(key.this) <= len(columns):
                    raise SqlError(
                        108,
                        f"The ORDER BY position number {key.this} is out of range of the number of items in "
                        "the select list.",
                        severity=15,
                    )
                text = texts[int(key.this) - 1] if texts else str(key.this)
            elif (
                isinstance(key, exp.Column)
                and key.name.lower() in names
                and (not key.args.get("table") or not isinstance(node, exp.Select))
            ):
                place = names.index(key.name.lower())
                text = texts[place] if texts else str(place + 1)
            elif not isinstance(node, exp.Select):
                raise SqlError(
                    104,
                    "ORDER BY items must appear in the select list if the statement contains a UNION, "
                    "INTERSECT or EXCEPT operator.",
                    severity=15,
                )
            else:
                text = e.value(key).sql
            parts.append(text + direction(item))
        return " ORDER BY " + ", ".join(parts)

    def _limit(self, node: exp.Expression, e: Expressions, order: str) -> str:
        limit, offset = node.args.get("limit"), node.args.get("offset")
        text = order
        if limit is not None:
            options = limit.args.get("limit_options")
            if options is not None and options.args.get("percent"):
                raise untranslated(node.sql("tsql"), "TOP ... PERCENT")
            count: exp.Expression = limit.args["count"] if isinstance(limit, exp.Fetch) else limit.expression
            number = e.value(count.this if isinstance(count, exp.Paren) else count)
            if number.const is UNKNOWN:
                raise untranslated(node.sql("tsql"), "TOP or FETCH takes a literal or a variable")
            if options is not None and options.args.get("with_ties"):
                return f" QUALIFY rank() OVER ({order.strip()}) <= {int(number.const)}{order}"
            text += f" LIMIT {int(number.const)}"
        if offset is not None:
            text += f" OFFSET {int(e.constant(offset.expression, 'OFFSET'))}"
        return text

    def _set_operation(self, node: exp.Expression, scope: Scope | None) -> Compiled:
        left, right = self(node.this, scope), self(node.expression, scope)
        if len(left.columns) != len(right.columns):
            raise SqlError(
                205,
                "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number "
                "of expressions in their target lists.",
            )
        kinds = [sqltypes.common(a.type, b.type) for a, b in zip(left.columns, right.columns, strict=True)]
        columns = [
            Column(a.name, k, a.nullable or b.nullable)
            for a, b, k in zip(left.columns, right.columns, kinds, strict=True)
        ]
        e = Expressions(self.env, Scope(), self)
        word = _SETS[type(node)] + ("" if node.args.get("distinct", True) else " ALL")
        sides = as_types(e, left, columns), as_types(e, right, columns)
        text = union(*sides, columns) if word == "UNION" else f"{sides[0]} {word} {sides[1]}"
        return Compiled(text + self._limit(node, e, self._order(node, e, columns)), columns)

    def _source(self, node: exp.Expression, scope: Scope) -> str:
        """A member of FROM; the scope gains its columns."""
        text = self._member(node, scope)
        for join in node.args.get("joins") or []:
            text += self._join(join, scope)
        return text

    def _member(self, node: exp.Expression, scope: Scope) -> str:
        alias = node.args.get("alias")
        name = alias.name if alias is not None else ""
        names = [c.name for c in alias.args.get("columns") or []] if alias is not None else []
        if isinstance(node, exp.Table):
            source = self.table(node)
            name = name or source.name
        elif isinstance(node, exp.Paren):
            return f"({self._source(node.this, scope)})"
        elif isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Query):
            return f"({self._source(node.this, scope)})"
        else:
            inner = (
                self._values(node, scope)
                if isinstance(node, exp.Values)
                else self(node.this if isinstance(node, exp.Subquery) else node, scope.parent)
            )
            source = Source(f"({inner.sql})", tuple(inner.columns), None, name)
        columns = renamed(source.columns, names)
        read = self.env.reads(source.table) if source.table is not None else None
        scope.add(Rows(name, columns, tuple(c.name for c in source.columns), read))
        return (
            f"{source.sql} AS "
            f"{quoted(name)}({', '.join(quoted(c.name or f'column{n}') for n, c in enumerate(columns, start=1))})"
        )

    def _values(self, node: exp.Values, scope: Scope) -> Compiled:
        e = Expressions(self.env, Scope(parent=scope), self)
        rows = [
            [e.value(v) for v in (t.expressions if isinstance(t, exp.Tuple) else [t])]
            for t in node.expressions
        ]
        columns = []
        for number, cells in enumerate(zip(*rows, strict=True), start=1):
            typed = [c.type for c in cells if not c.is_null]
            kind = typed[0] if typed else sqltypes.INT
            for other in typed[1:]:
                kind = sqltypes.common(kind, other)
            columns.append(Column(f"column{number}", kind, any(c.nullable for c in cells)))
        texts = ", ".join(
            "(" + ", ".join(e.sql(v, c.type) for v, c in zip(row, columns, strict=True)) + ")" for row in rows
        )
        return Compiled(f"VALUES {texts}", columns)

    def _join(self, join: exp.Join, scope: Scope) -> str:
        if isinstance(join.this, exp.Lateral):
            return self._apply(join.this, scope)
        before = list(scope.sources)
        text = self._source(join.this, scope)
        added = [s for s in scope.sources if s not in before]
        side, kind = (join.side or "").upper(), (join.kind or "").upper()
        condition = join.args.get("on")
        if condition is None:
            return f" CROSS JOIN {text}"
        on = Expressions(self.env, scope, self).predicate(condition)
        if side in ("LEFT", "FULL"):
            scope.make_nullable(added)
        if side in ("RIGHT", "FULL"):
            scope.make_nullable(before)
        return f" {side or kind or 'INNER'} JOIN {text} ON {on}"

    def _apply(self, node: exp.Lateral, scope: Scope) -> str:
        inner = self(node.this.this if isinstance(node.this, exp.Subquery) else node.this, scope)
        alias = node.args["alias"]
        columns = renamed(inner.columns, [c.name for c in alias.args.get("columns") or []])
        crossing = bool(node.args.get("cross_apply"))
        scope.add(Rows(alias.name, columns if crossing else [replace(c, nullable=True) for c in columns]))
        text = f"LATERAL ({inner.sql}) AS {quoted(alias.name)}({', '.join(quoted(c.name) for c in columns)})"
        return f" CROSS JOIN {text}" if crossing else f" LEFT JOIN {text} ON TRUE"

    def table(self, node: exp.Table) -> Source:
        """A named table, view, common table expression or system function.

        Raises:
            SqlError: 208 for an unknown one.
        """
        database, schema, name = node.catalog or self.env.database, node.db or "dbo", node.name
        if not node.db and not node.catalog and name.lower() in self.ctes:
            return Source(quoted(name), tuple(self.ctes[name.lower()]), None, name)
        if isinstance(node.this, exp.Anonymous):
            e = Expressions(self.env, Scope(), self)
            name = node.this.name  # without the brackets
            args = [
                None if a.name.upper() == "DEFAULT" else self.env.compute(e.value(a))
                for a in node.this.expressions
            ]
            computed = self.env.table_function(name.lower(), args)
            if computed is not None:
                return computed
            result = self.env.virtual(node.db.lower() or "sys", name.lower(), args)
        else:
            known = self.env.catalog.find(database, schema, name)
            if known is not None:
                return self.env.visible(database, known)
            result = self.env.virtual(schema.lower(), name.lower(), None)
        if result is None:
            full = ".".join(p for p in (node.catalog, node.db, name) if p)
            raise SqlError(208, f"Invalid object name '{full}'.")
        columns, rows = result
        return Source(inline(columns, rows), columns, None, name)
