"""Which channels hear of which change of a finding."""

from collections.abc import Sequence
from dataclasses import replace

from shared.evidence import Memory
from shared.finding import NEWS, Change, Channel, Finding, Severity, Transition
from shared.settings import Settings

_ENDS = frozenset({Change.RESOLVED, Change.EXEMPTED, Change.SUPERSEDED, Change.BUCKET_DELETED, Change.EXPIRED})
"""An acknowledgement closes a deed only."""


def addressed(transitions: Sequence[Transition], memory: Memory, settings: Settings) -> tuple[Transition, ...]:
    """The transitions with the channels that are to hear of them. memory: what was known before."""
    paged = {finding.id for finding in memory.findings if finding.paged}
    return tuple(_addressed(each, settings, was_paged=each.finding.id in paged) for each in transitions)


def _addressed(transition: Transition, settings: Settings, *, was_paged: bool) -> Transition:
    pages, is_over = _pages(transition, settings), ends(transition.finding, transition.change)
    to = {
        Channel.PAGER: pages or (was_paged and is_over and bool(settings.pager_topic_arn)),
        Channel.MAIL: transition.is_told,
        Channel.CHAT: transition.is_told and bool(settings.chat_topic_arn),
        Channel.BUS: _is_change(transition) and bool(settings.event_bus_name),
        Channel.SECURITY_HUB: _is_change(transition) and settings.security_hub,
    }
    finding = replace(transition.finding, paged=(pages or was_paged) and not is_over)
    return replace(transition, finding=finding, to=tuple(channel for channel in Channel if to[channel]))


def _pages(transition: Transition, settings: Settings) -> bool:
    """Bad news that is bad enough. A reminder does not page again: its incident is still open."""
    finding, order = transition.finding, list(Severity)
    is_bad_enough = order.index(finding.severity) <= order.index(Severity(settings.page_from))
    is_news = transition.change in NEWS and transition.is_told and not finding.is_proof
    return bool(settings.pager_topic_arn) and is_news and is_bad_enough


def ends(finding: Finding, change: Change) -> bool:
    """Whether this change closes the finding, and with it its incident."""
    return change in _ENDS or (change is Change.ACKNOWLEDGED and finding.is_deed)


def _is_change(transition: Transition) -> bool:
    """Counting on is none, nor is telling again what has not changed."""
    return transition.change not in {Change.ENRICHED, Change.REMINDED}
