"""What the worker does for the inventory: reminders into the outbox, counts for the pages."""

from ca.inventory.reminders import ReminderDesk
from ca.inventory.statistics import StatisticsDesk
from webapp.compose import Parts
from webapp.outbox import Outbox


def remind(parts: Parts) -> None:
    """Send the reminders that are due."""
    outbox = Outbox(parts.deployment.outbox)
    ReminderDesk(parts.database, outbox, parts.clock, parts.settings.reminder_days).sweep()


def count(parts: Parts) -> None:
    """Count certificates anew."""
    StatisticsDesk(parts.database, parts.clock).sweep()
