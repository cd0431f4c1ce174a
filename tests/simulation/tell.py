"""A history as a person reads it: one short line an event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from taskgrid.journal.writer import Append

from .loop import Event
from .network import Message


def tell(history: Iterable[Event], *, everything: bool = False) -> Iterator[str]:
    """Yield lines."""
    for at, kind, *facts in history:
        if everything or not _is_quiet(kind, facts):
            yield f"{at:9.4f}  {kind:<9} {_facts(kind, facts)}"


def _is_quiet(kind: str, facts: list[Any]) -> bool:
    if kind in {"asked", "decided"}:
        return True
    if kind == "tick":
        return not facts[0]
    return kind == "answered" and (facts[0].verb in {"fetch", "keep"} or _is_empty(facts[0].verb, facts[1]))


def _is_empty(verb: str, reply: Any) -> bool:
    return verb == "lease" and reply is not None and reply.known and not reply.bundles


def _facts(kind: str, facts: list[Any]) -> str:
    match kind:
        case "asked":
            (message,) = facts
            return f"{message.name} over {message.connection}: {message.verb} {_request(message)}"
        case "answered":
            message, reply, rest, _ = facts
            return f"{message.name} {message.verb} {_request(message)} -> {_reply(message.verb, reply, rest)}"
        case "durable":
            return _entry(facts[0])
        case "decided":
            return _group(facts[0])
        case "rollback":
            return f"to {len(facts[0])} entries"
        case "tick":
            return "expired " + ", ".join(map(str, facts[0]))
        case _:
            return " ".join(map(_short, facts))


def _short(fact: Any) -> str:
    return fact.decode() if isinstance(fact, bytes) else str(fact)


def _entry(entry: Any) -> str:
    if isinstance(entry, Append):
        return "; ".join(map(_group, entry.groups))
    return f"{type(entry).__name__.lower()} of job {entry.job}"


def _group(group: Any) -> str:
    return f"job {group.job} #{group.first_record}: " + ", ".join(map(_record, group.records))


def _record(record: Any) -> str:
    said = {name: value for name, value in record if name not in {"kind", "at", "spec", "first_sequence", "number"}}
    facts = (f"{name}={_value(value)}" for name, value in said.items() if value not in ((), False, None, ""))
    return f"{record.kind} {' '.join(facts)}"


def _value(value: Any) -> str:
    if isinstance(value, tuple) and value and hasattr(value[0], "cause"):
        return str([(second.index, str(second.cause), second.due_at) for second in value])
    return str(value)


def _request(message: Message) -> str:
    request = message.request
    match message.verb:
        case "submit":
            return f"{request.job[:4]} #{request.ordinal} ({request.count}{', seal' if request.seal else ''})"
        case "extend" | "release":
            return " ".join(f"{lease.job}:{lease.token}:{lease.runs}" for lease in request.leases)
        case "report":
            return " ".join(f"{each.job}:{each.token}:{each.runs}" for each in request.reports)
        case "fetch":
            return f"{request.job[:4]} {request.order} after {request.cursor.epoch}:{request.cursor.position}"
        case "cancel" | "retry":
            return " ".join(f"{selector.job[:4]}:{selector.runs}" for selector in request.selectors)
        case _:
            return ""


def _reply(verb: str, reply: Any, rest: Any) -> str:
    if reply is None:
        return f"{type(rest).__name__}: {rest}".partition("\n")[0]
    match verb:
        case "submit":
            return f"job {reply.number}, {reply.total} tasks{', sealed' if reply.sealed else ''}"
        case "lease":
            given = (f"{bundle.job}:{bundle.token}:{bundle.runs}" for bundle in reply.bundles)
            return " ".join(given) if reply.known else "unknown"
        case "extend":
            drops = " ".join(f"{drop.token}:{drop.runs}" for drop in reply.drop)
            return f"drop {drops}" if reply.known else "unknown"
        case "report":
            return " ".join(f"{judged.runs}:{judged.verdict}" for answer in reply.reports for judged in answer)
        case "fetch":
            rows = [(row.first, row.count) for row in reply.rows]
            return f"{rows} cursor {reply.cursor.position}{' complete' if reply.complete else ''}"
        case _:
            return "done"
