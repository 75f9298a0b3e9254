"""Measures that may go with generalisation: `MEASURES` names them, `measure_all` computes them for one model."""

from ntkinfo.generalization.evaluation import as_row as as_row
from ntkinfo.generalization.evaluation import measure_all as measure_all
from ntkinfo.generalization.registry import MEASURES as MEASURES
from ntkinfo.generalization.views import MeasureSettings as MeasureSettings
