"""A network taken along: Python source, weights, programs for other runtimes, a model card."""

from zc_search.deploy.export.subject import Subject, subject_of_cell, subject_of_run
from zc_search.deploy.export.writing import Exported, export_network

__all__ = ["Exported", "Subject", "export_network", "subject_of_cell", "subject_of_run"]
