"""One self-contained page about runs: what was asked, what was proven, pictures, and what every number means."""

from ballproof.report.charts import training_chart
from ballproof.report.page import write_report
from ballproof.report.story import STORY

__all__ = ["STORY", "training_chart", "write_report"]
