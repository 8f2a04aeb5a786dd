"""One self-contained page about runs: what was asked, what was proven, pictures, and what every number means."""

from ballproof.report.charts import training_chart
from ballproof.report.page import STORY, write_report

__all__ = ["STORY", "training_chart", "write_report"]
