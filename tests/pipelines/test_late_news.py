"""A feed that is read on two mornings: what was not there at first was not known at first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from vostok_core.project import Project
from vostok_pipelines.launch import Launcher


def test_an_item_that_comes_after_its_day_was_read_is_known_from_the_run_that_found_it(
    project: Project, launcher: Launcher
) -> None:
    feed = project.lake_root / project.settings.sources.feeds["demo"]
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    published = noon - timedelta(days=2)
    day = published.date()

    def publish(*titles: str) -> None:
        items = "".join(
            f"<item><title>{title}</title><guid>{title}</guid>"
            f"<pubDate>{format_datetime(published)}</pubDate></item>"
            for title in titles
        )
        feed.unlink()  # a link to what other tests use
        feed.write_text(f'<rss version="2.0"><channel>{items}</channel></rss>')

    publish("Bitcoin rises")
    launcher.materialize(["news"], None, day, day)
    publish("Bitcoin rises", "Bitcoin had fallen")
    before = datetime.now(UTC)
    for _ in range(2):
        launcher.materialize(["news"], None, day, day)
    after = datetime.now(UTC)
    lake = project.open_lake()
    [first] = lake.read("news", date=day).iter_rows(named=True)
    assert first["title"] == "Bitcoin rises"
    assert first["available_at"] == published + timedelta(minutes=2)
    later = [lake.read("news", date=seen) for seen in lake.days("news") if seen > day]
    [late] = [row for frame in later for row in frame.iter_rows(named=True)]
    assert late["title"] == "Bitcoin had fallen"
    assert before <= late["first_seen_at"] == late["available_at"] <= after
    assert lake.exists("news", date=late["first_seen_at"].date())
